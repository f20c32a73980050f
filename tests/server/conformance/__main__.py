"""Print the tables of docs/conformance.md: `python -m tests.server.conformance`."""

from tests.server.conformance import tables

print(tables(), end="")
