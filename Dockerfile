# The image: `make image`. Any Python 3.13 on Debian will do as the base; a mirror or a digest can be given.
ARG PYTHON_IMAGE=python:3.13-slim

# What is installed changes seldom; a change of the code begins at the second stage.
FROM ${PYTHON_IMAGE} AS dependencies
COPY requirements.txt docker/left-out.txt docker/compile.py /build/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --require-hashes --no-compile --no-cache-dir --quiet -r /build/requirements.txt
# Bytecode lies in a tree of its own: Python's, too, could not be added beside its source without changing the base.
ENV PYTHONPYCACHEPREFIX=/opt/bytecode PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/venv/lib/python3.13/site-packages
# hadolint ignore=SC2046 # the names are patterns, and several on a line
RUN rm -rf $(sed 's/#.*//' /build/left-out.txt) \
    && /opt/venv/bin/python /build/compile.py . --imports \
       ai_edge_litert.interpreter flask gunicorn.app.wsgiapp gunicorn.workers.base httptools PIL.TiffImagePlugin subprocess

FROM dependencies AS application
# The folder of the bundle to serve, below model/.
ARG MODEL=model/imagenet
WORKDIR /app
COPY ${MODEL} ${MODEL}
COPY gunicorn.conf.py ./
COPY app app
# Whatever umask the checkout was made with: everyone may read, and nobody write.
RUN python /build/compile.py . && chmod -R a=rX . /opt/bytecode/app \
    && mkdir /code && cp --archive --parents /app/app /app/gunicorn.conf.py /opt/bytecode/app /code

FROM ${PYTHON_IMAGE}
# Nothing is ever installed where this runs: the base's pip goes, and with it what scanners find wrong with it.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip
WORKDIR /app
ARG MODEL=model/imagenet
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPYCACHEPREFIX=/opt/bytecode PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    PORT=8080 MODEL=${MODEL} LOG_FORMAT=json
# A number, because Kubernetes cannot tell from a name that it is not root. It owns nothing here.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import http.client, os; link = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); link.request('GET', '/ready'); exit(link.getresponse().status != 200)"]
CMD ["gunicorn"]
# One layer each, the one that changes most often last: a release pushes and pulls some kilobytes.
COPY --from=dependencies /opt /opt
COPY --from=application /app/model /app/model
COPY --from=application /code /
# docker/build.sh adds version, revision and source. As build arguments they would be stale: buildah takes a LABEL from
# its cache though the argument in it has changed.
LABEL org.opencontainers.image.title="quintet" \
      org.opencontainers.image.description="One image classifier with five homes on Google Cloud" \
      org.opencontainers.image.licenses="Apache-2.0"
