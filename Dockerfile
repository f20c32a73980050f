# The image: `make image`. PYTHON_IMAGE can be any Python 3.13 on Debian, for example from a mirror or by digest.
ARG PYTHON_IMAGE=python:3.13-slim

# Dependencies change rarely. A change of the code rebuilds only the second stage.
FROM ${PYTHON_IMAGE} AS dependencies
COPY requirements.txt docker/unused-files.txt docker/compile.py /build/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --require-hashes --no-compile --no-cache-dir --quiet -r /build/requirements.txt
# Bytecode gets a separate tree, because that of the standard library cannot be stored beside its source without
# changing the base image.
ENV PYTHONPYCACHEPREFIX=/opt/bytecode PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/venv/lib/python3.13/site-packages
# hadolint ignore=SC2046 # word splitting is intended: a line can have several patterns
RUN rm -rf $(sed 's/#.*//' /build/unused-files.txt) \
    && /opt/venv/bin/python /build/compile.py . --imports ai_edge_litert.interpreter flask gunicorn.app.wsgiapp \
       gunicorn.workers.base httptools multipart PIL.TiffImagePlugin subprocess wsgiref.types

FROM dependencies AS application
# The bundle to serve, a folder in model/.
ARG MODEL=model/imagenet
WORKDIR /app
COPY ${MODEL} ${MODEL}
COPY gunicorn.conf.py ./
COPY app app
# Readable for all users and writable for none, independent of the umask of the checkout.
RUN python /build/compile.py . && chmod -R a=rX . /opt/bytecode/app \
    && mkdir /code && cp --archive --parents /app/app /app/gunicorn.conf.py /opt/bytecode/app /code

FROM ${PYTHON_IMAGE}
# Nothing is installed in a running container, so pip is removed. Scanners then have no findings about it.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip
WORKDIR /app
ARG MODEL=model/imagenet
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPYCACHEPREFIX=/opt/bytecode PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    PORT=8080 MODEL=${MODEL} LOG_FORMAT=json
# A number, because Kubernetes cannot tell from a name that the user is not root. It owns no files.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import http.client, os; link = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); link.request('GET', '/ready'); exit(link.getresponse().status != 200)"]
CMD ["gunicorn"]
# One layer each, the one that changes most often last: a release pushes and pulls only some kilobytes.
COPY --from=dependencies /opt /opt
COPY --from=application /app/model /app/model
COPY --from=application /code /
# docker/build.sh adds the labels version, revision and source with --label. As build arguments they would be out of
# date: buildah takes a LABEL line from its cache even if the argument in it has changed.
LABEL org.opencontainers.image.title="quintet" \
      org.opencontainers.image.description="One image classifier with five homes on Google Cloud" \
      org.opencontainers.image.licenses="Apache-2.0"
