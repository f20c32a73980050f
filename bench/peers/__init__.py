"""Other applications that serve the same model, each as short as such an application is usually written.

They decode with app.images and read the bundle with app.bundle, but do not import the rest of our app, such as Flask,
which most of their environments do not contain. Therefore `app` is replaced here by its folder without __init__.py.

granian/ and waitress/ are different: they serve our app on another server, and nothing there imports this package.
"""

import sys
from types import ModuleType

from bench import ROOT

_app = ModuleType("app")
_app.__path__ = [str(ROOT / "app")]
sys.modules["app"] = _app
