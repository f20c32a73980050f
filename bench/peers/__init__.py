"""Other applications that serve the same model, each as short as such an application is usually written.

They use app.images and app.bundle, but not app/__init__.py, because it imports Flask, which most of their environments
do not contain. Therefore a module with the folder of `app`, but without the code of its __init__.py, replaces it here.

granian/ and waitress/ are different: they serve our app on another server and do not import this package.
"""

import sys
from types import ModuleType

from bench import ROOT

_app = ModuleType("app")
_app.__path__ = [str(ROOT / "app")]
sys.modules["app"] = _app
