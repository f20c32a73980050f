"""The module that a WSGI server imports. An invalid setting or bundle ends the process with one line and status 2."""

import sys

from app import create_app
from app.bundle import BundleError
from app.config import ConfigError

try:
    app = create_app()
except (BundleError, ConfigError) as error:
    print(f"quintet: {error}", file=sys.stderr)
    sys.exit(2)
