"""The Flask app that serves one bundle. It imports neither TensorFlow nor training/."""

from flask import Flask, Response

from app import api, bundle, classifier, config, logs, memory, ops, pages, problems

_PAGE_HEADERS = {
    # data: for heatmaps and previews, blob: for the picture that the visitor has just chosen.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
}


def create_app(settings: config.Config | None = None) -> Flask:
    """Load the bundle and make the app that serves it. Raises ConfigError or BundleError."""
    settings = settings or config.from_environment()
    logs.configure(settings.log_level, settings.log_format)
    memory.give_back()
    # Not under /static: the functions framework's own /static route would hide it.
    app = Flask(__name__, static_folder="assets", static_url_path="/assets")
    app.config["MAX_CONTENT_LENGTH"] = settings.max_upload_bytes
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 3600
    app.extensions["config"] = settings
    app.extensions["classifier"] = classifier.Classifier(bundle.read(settings.model))
    for blueprint in (api.blueprint, pages.blueprint, ops.blueprint):
        app.register_blueprint(blueprint)
    problems.register(app)
    logs.register(app, settings.log_level, settings.log_format)

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers["X-Content-Type-Options"] = "nosniff"
        if response.content_type.startswith("text/html"):
            response.headers.extend(_PAGE_HEADERS)
        return response

    return app
