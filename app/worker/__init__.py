"""The gunicorn worker that serves the app; gunicorn.conf.py names it."""

from app.worker.worker import Worker

__all__ = ["Worker"]
