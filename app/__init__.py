"""The Flask app that serves one bundle. It imports neither TensorFlow nor training/.

Every server runs the same app: gunicorn with the worker class of app/worker on Cloud Run, App Engine, GKE and Compute
Engine, and the functions framework's own server on Cloud Run functions. Limits that must hold everywhere are therefore
checked in this folder's modules, not in app/worker.
"""

from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask

from app import api, bundle, classifier, config, health, logs, memory, pages, problems

_HEADERS = [("X-Content-Type-Options", "nosniff")]
_PAGE_HEADERS = [
    *_HEADERS,
    (
        "Content-Security-Policy",
        # data: for heatmaps and previews, blob: for the image that the visitor has just chosen.
        "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'self'",
    ),
    ("Referrer-Policy", "no-referrer"),
]


def create_app(settings: config.Config | None = None) -> Flask:
    """Load the bundle and create the app that serves it. Raises ConfigError or BundleError."""
    settings = settings or config.from_environment()
    logs.configure(settings.log_level, settings.log_format)
    memory.configure()
    # Not under /static: the functions framework has a route of that name, which would take precedence.
    app = Flask(__name__, static_folder="assets", static_url_path="/assets")
    app.config["MAX_CONTENT_LENGTH"] = settings.max_upload_bytes
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 3600
    app.extensions["config"] = settings
    app.extensions["classifier"] = classifier.Classifier(bundle.read(settings.model))
    for blueprint in (api.blueprint, pages.blueprint, health.blueprint):
        app.register_blueprint(blueprint)
    problems.register(app)
    memory.release()  # memory used only while loading; each forked worker would get a copy of it
    middleware = logs.access_log(_security_headers(app.wsgi_app), settings.log_level, settings.log_format)
    app.wsgi_app = middleware  # type: ignore[method-assign, assignment]
    return app


def _security_headers(application: WSGIApplication) -> WSGIApplication:
    """Middleware that adds the headers which restrict what a browser does with a response."""

    def with_headers(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def add_headers(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            is_page = any(name == "Content-Type" and value.startswith("text/html") for name, value in headers)
            return start_response(status, [*headers, *(_PAGE_HEADERS if is_page else _HEADERS)], *exc_info)

        return application(environ, add_headers)

    return with_headers
