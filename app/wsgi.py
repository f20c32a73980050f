"""What a WSGI server imports. A setting or a bundle that cannot be used ends the start with one line and status 2."""

import sys

from app import create_app
from app.bundle import BundleError
from app.config import ConfigError

try:
    app = create_app()
except (BundleError, ConfigError) as error:
    print(f"quintet: {error}", file=sys.stderr)
    sys.exit(2)
