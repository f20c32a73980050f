"""The server behaves as RFC 9112 asks, whatever is sent: every case of tests/server/conformance, over raw sockets.

Needs nothing but the serving environment (.venv) and the committed bundle. Takes a few seconds.
"""

import pytest

from tests.server.conformance import CASES, SECTIONS
from tests.server.observe import allowed, observe


@pytest.mark.parametrize("case", CASES, ids=[f"{case.section}: {case.name}" for case in CASES])
def test_case(case, conformance_server):
    answers, state = observe(case, conformance_server.port)
    seen = " ".join([*(str(answer.status) for answer in answers), state])
    assert allowed(case, answers, state), f"expected {case.expected}; got {seen}"
    if case.contains:
        name, _, value = case.contains.partition(": ")
        assert answers[0].fields.get(name.lower(), "") == value or (name.lower() in answers[0].fields and not value)


def test_names_of_cases_are_unique_and_every_section_has_a_title():
    assert len({(case.section, case.name) for case in CASES}) == len(CASES)
    assert {case.section for case in CASES} == SECTIONS.keys()
