"""Compile every module that serving imports to bytecode, those of the standard library too.

The official Python image contains no bytecode, and on a read-only root Python would compile the modules again at every
start. The bytecode is of the kind `unchecked-hash`: Python does not compare it with its source, because the files of an
image never change. Usage: compile.py FOLDER... [--imports MODULE...]
"""

import argparse
import compileall
import importlib
import py_compile
import sys

parser = argparse.ArgumentParser()
parser.add_argument("folders", nargs="+")
parser.add_argument("--imports", nargs="*", default=[])
arguments = parser.parse_args()

sys.dont_write_bytecode = True
for name in arguments.imports:
    importlib.import_module(name)
del sys.modules["__main__"]  # this file
sources = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH
done = [compileall.compile_file(path, quiet=1, invalidation_mode=UNCHECKED) for path in sources if path.endswith(".py")]
done += [compileall.compile_dir(path, quiet=1, invalidation_mode=UNCHECKED) for path in arguments.folders]
sys.exit(not all(done))
