"""The server behaves as RFC 9112 requires: every case of tests/server/conformance, over raw sockets.

Needs only the serving environment (.venv) and the committed bundle. Takes about 10 seconds.
"""

import pytest

from tests.conftest import ROOT
from tests.server.conformance import CASES, SECTIONS, tables
from tests.server.observe import allowed, observe


def _parameters():
    for case in CASES:
        marks = [pytest.mark.xfail(strict=True, reason=case.deviation)] if case.deviation else []
        yield pytest.param(case, id=f"{case.section}: {case.name}", marks=marks)


@pytest.mark.parametrize("case", list(_parameters()))
def test_case(case, conformance_server):
    answers, state = observe(case, conformance_server.port)
    seen = " ".join([*(str(answer.status) for answer in answers), state])
    assert allowed(case, answers, state), f"expected {case.expected}; got {seen}"
    if case.contains:
        name, _, value = case.contains.partition(": ")
        assert name.lower() in answers[0].fields
        assert value in ("", answers[0].fields[name.lower()])
    if state == "closed" and answers and not case.half_close:
        assert answers[-1].fields["connection"] == "close"


def test_every_case_has_a_name_of_its_own_and_every_section_a_title():
    assert len({(case.section, case.name) for case in CASES}) == len(CASES)
    assert {case.section for case in CASES} == SECTIONS.keys()


def test_table_in_the_documentation_agrees_with_the_cases():
    page = (ROOT / "docs" / "conformance.md").read_text("utf-8")
    begin, end = (f"<!-- written by python -m tests.server.conformance: {word} -->\n" for word in ("begin", "end"))
    assert page.partition(begin)[2].partition(end)[0] == tables()
