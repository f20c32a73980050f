"""The Flask app that serves one bundle. It imports neither TensorFlow nor training/."""

from collections.abc import Callable, Iterable

from flask import Flask

from app import api, bundle, classifier, config, health, logs, memory, pages, problems

_HEADERS = [("X-Content-Type-Options", "nosniff")]
_PAGE_HEADERS = [
    *_HEADERS,
    (
        "Content-Security-Policy",
        # data: for heatmaps and previews, blob: for the picture that the visitor has just chosen.
        "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'self'",
    ),
    ("Referrer-Policy", "no-referrer"),
]


def create_app(settings: config.Config | None = None) -> Flask:
    """Load the bundle and make the app that serves it. Raises ConfigError or BundleError."""
    settings = settings or config.from_environment()
    logs.configure(settings.log_level, settings.log_format)
    memory.configure()
    # Not under /static: the functions framework's own /static route would hide it.
    app = Flask(__name__, static_folder="assets", static_url_path="/assets")
    app.config["MAX_CONTENT_LENGTH"] = settings.max_upload_bytes
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 3600
    app.extensions["config"] = settings
    app.extensions["classifier"] = classifier.Classifier(bundle.read(settings.model))
    for blueprint in (api.blueprint, pages.blueprint, health.blueprint):
        app.register_blueprint(blueprint)
    problems.register(app)
    memory.release()  # what loading took, before workers are forked that would each get a copy of it
    app.wsgi_app = logs.access_log(_security_headers(app.wsgi_app), settings.log_level, settings.log_format)
    return app


def _security_headers(application: Callable) -> Callable:
    """The WSGI application with the headers that keep an answer from being used for what it is not."""

    def with_headers(environ: dict, start_response: Callable) -> Iterable[bytes]:
        def add(status: str, headers: list[tuple[str, str]], *error: object) -> Callable:
            is_page = any(name == "Content-Type" and value.startswith("text/html") for name, value in headers)
            return start_response(status, [*headers, *(_PAGE_HEADERS if is_page else _HEADERS)], *error)

        return application(environ, add)

    return with_headers
