"""What `make bench` makes of its measurements: medians, shares, the verdict, the table."""

import pytest

from bench import checks, floors, results
from bench.rounds import QUICK, Sample
from tests.conftest import ROOT

ABOUT = dict.fromkeys(["cpu", "cores", "date", "python", "ai-edge-litert", "pillow", "gunicorn"], "x")


def sample(small, medium=50.0, large=10.0, alone=2.0, label="cat", first=0.3, memory=100.0):
    rates = {"small": small, "medium": medium, "large": large}
    return Sample(rates, alone, dict.fromkeys(rates, label), first, memory)


@pytest.fixture
def figures():
    def make(ours, peer=300.0):
        limit = [sample(400), sample(500), sample(100)]  # the machine was busy in the third round
        return results.summary({
            "ceiling": [s._replace(first_answer=None, memory=None) for s in limit],
            "quintet": [sample(share * s.per_second["small"]) for share, s in zip(ours, limit, strict=True)],
            "fastapi": [sample(peer) for _ in limit],
        })  # fmt: skip

    return make


def test_share_is_the_median_of_the_shares_of_each_round(figures):
    assert figures([0.9, 0.95, 0.99])["quintet"]["share"]["small"] == pytest.approx(0.95)


def test_a_share_under_its_floor_is_missed_and_named(figures):
    missed = [check.what for check in floors.checks("reference-cnn", figures([0.78] * 3)) if not check.ok]
    assert "reference-cnn, small: share of the ceiling" in missed
    kept = [check.what for check in floors.checks("reference-cnn", figures([0.82] * 3)) if not check.ok]
    assert "reference-cnn, small: share of the ceiling" not in kept


@pytest.mark.parametrize("page", ["README.md", "docs/performance.md"])
def test_what_is_held_is_what_the_pages_promise(page):
    text = (ROOT / page).read_text("utf-8")
    for shares in floors.SHARES.values():
        assert " / ".join(f"{share:.2f}" for share in shares.values()) in text


def test_being_behind_a_peer_is_missed(figures):
    missed = [check.what for check in floors.checks("reference-cnn", figures([0.95] * 3, peer=490.0)) if not check.ok]
    assert "reference-cnn, small: against fastapi" in missed


def test_missed_check_ends_with_status_1_and_its_name(capsys):
    with pytest.raises(SystemExit) as stop:
        checks.conclude([checks.Check("memory", 140, "<=", 130, " MB"), checks.Check("speed", 1, ">=", 0.9)])
    assert stop.value.code == "1 missed: memory"  # a message makes the status 1
    assert capsys.readouterr().out.splitlines()[0] == "MISSED  memory: 140 MB (asked <= 130 MB)"


def test_table_goes_between_the_marks_of_the_page(figures, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{results.MARKS[0]}\nold\n{results.MARKS[1]}\nafter\n")
    results.include(results.table({"reference-cnn": figures([0.95] * 3)}, ABOUT, QUICK), page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| **Quintet** | 380 / 50 / 10 | 0.95 / 1.00 / 1.00 | 2.0 ms | 0.30 s | 100 MB |" in text
