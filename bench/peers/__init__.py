"""Other ways to serve the same model, each as short as it is usually written.

They decode with app.images and read the bundle with app.bundle, but they must not pay for the rest of our app, such as
Flask, which most of their environments do not even have: here `app` is its folder without its __init__.py.
"""

import sys
from types import ModuleType

from bench import ROOT

_app = ModuleType("app")
_app.__path__ = [str(ROOT / "app")]
sys.modules["app"] = _app
