"""How `make bench` turns measurements into figures, checks and tables. Needs only Python; Linux for /proc."""

import subprocess
import sys
import time

import pytest

from bench import checks, floors, processes, results
from bench.rounds import BOUND, QUICK, Sample
from bench.servers import PEERS
from tests.conftest import ROOT

ABOUT = dict.fromkeys(["cpu", "cores", "date", "python", "ai-edge-litert", "pillow", "gunicorn"], "x")


def sample(small, p99=20.0, memory=100.0, beside_slow=None, label="cat"):
    rates = {"small": small, "medium": 50.0, "large": 10.0}
    latencies = {"small": p99, "medium": 40.0, "large": 100.0}
    return Sample(rates, 2.0, dict.fromkeys(rates, label), latencies, 0.3, memory, beside_slow)


@pytest.fixture
def figures():
    """Make the figures of three rounds: `ours` is our share of the no-HTTP bound in each; `more` is for our samples."""

    def make(ours, peer=300.0, **more):
        bounds = [sample(400), sample(500), sample(100)]  # the machine was busy in the third round
        rates = [share * bound.per_second["small"] for share, bound in zip(ours, bounds, strict=True)]
        return results.summary({
            BOUND: [bound._replace(p99_ms=None, first_answer=None, memory=None) for bound in bounds],
            "quintet": [sample(rate, **more) for rate in rates],
            "fastapi": [sample(peer) for _ in bounds],
        })  # fmt: skip

    return make


def missed(model, figures):
    return [check.what for check in floors.checks(model, figures) if not check.ok]


def test_share_is_the_median_of_the_shares_of_each_round(figures):
    assert figures([0.9, 0.95, 0.99])["quintet"].share["small"] == pytest.approx(0.95)


def test_p99_is_the_median_of_the_rounds():
    rounds = [sample(100, p99=value) for value in (10.0, 90.0, 20.0)]
    assert results.summary({BOUND: rounds})[BOUND].p99_ms["small"] == 20.0


def test_throughput_beside_slow_clients_is_relative_to_that_of_the_same_round():
    rounds = [sample(100, beside_slow=90.0), sample(200, beside_slow=100.0), sample(50, beside_slow=40.0)]
    assert results.summary({BOUND: rounds})[BOUND].kept_beside_slow == pytest.approx(0.8)


def test_share_below_its_floor_is_missed_and_named(figures):
    assert "reference-cnn, small: share of the no-HTTP bound" in missed("reference-cnn", figures([0.78] * 3))
    assert "reference-cnn, small: share of the no-HTTP bound" not in missed("reference-cnn", figures([0.82] * 3))


def test_lower_throughput_than_a_peer_is_missed(figures):
    assert "reference-cnn, small: relative to fastapi" in missed("reference-cnn", figures([0.95] * 3, peer=490.0))


def test_server_without_a_single_answer_is_compared_and_reported(figures):
    found = figures([0.95, 0.95, 0], peer=0.0, beside_slow=50.0)
    assert "reference-cnn, small: relative to fastapi" not in missed("reference-cnn", found)
    assert found["quintet"].kept_beside_slow == pytest.approx(50 / 475)  # 0 in the third round


def test_different_answer_is_missed(figures):
    assert "imagenet: images with the answer of the no-HTTP bound" in missed("imagenet", figures([1] * 3, label="dog"))


@pytest.mark.parametrize("page", ["README.md", "docs/performance.md"])
def test_page_states_the_floors_that_are_checked(page):
    text = (ROOT / page).read_text("utf-8")
    for shares in floors.SHARES.values():
        assert " / ".join(f"{share:.2f}" for share in shares.values()) in text


def test_missed_check_exits_with_status_1_and_its_name(capsys):
    with pytest.raises(SystemExit) as stop:
        checks.conclude([checks.Check("memory", 140, "<=", 130, " MB"), checks.Check("speed", 1, ">=", 0.9)])
    assert stop.value.code == "1 missed: memory"  # sys.exit with a message sets status 1
    assert capsys.readouterr().out.splitlines()[0] == "MISSED  memory: 140 MB (target <= 130 MB)"


def test_comparison_replaces_its_block_of_the_page(figures, tmp_path):
    page = tmp_path / "page.md"
    begin, end = (f"<!-- written by make bench: comparison, {edge} -->" for edge in ("begin", "end"))
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    results.include("comparison", results.comparison({"reference-cnn": figures([0.95] * 3)}, ABOUT, QUICK), page)
    text = page.read_text()
    assert text.startswith(f"before\n{begin}\n")
    assert text.endswith(f"\n{end}\nafter\n")
    assert "old" not in text
    assert "| **Quintet** | 380 / 50 / 10 | 0.95 / 1.00 / 1.00 | 2.0 ms | 0.30 s | 100 MB |" in text


def test_page_without_the_block_is_an_error_and_does_not_change(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- written by make bench: comparison, begin -->\nno end\n")
    with pytest.raises(ValueError, match="has no block 'comparison'"):
        results.include("comparison", "new\n", page)
    assert "no end" in page.read_text()


@pytest.mark.parametrize("block", ["comparison", "same app"])
def test_performance_page_has_the_blocks_that_make_bench_writes(block, tmp_path):
    page = tmp_path / "performance.md"
    page.write_bytes((ROOT / "docs" / "performance.md").read_bytes())
    results.include(block, "a new table\n", page)
    assert page.read_text("utf-8").count("a new table") == 1


def test_table_of_the_same_app_has_only_servers_of_our_app(figures):
    table = results.same_app({"imagenet": figures([0.5] * 3, beside_slow=50.0)}).splitlines()
    assert len(table) == 3  # two lines of heading, and ours; fastapi serves another app
    assert table[2] == "| imagenet | **Quintet** | 200 / 50 / 10 | 20 / 40 / 100 ms | 100 MB | 0.25 |"


@pytest.mark.parametrize("peer", ["granian", "waitress"])
def test_peers_that_serve_our_app_have_the_same_packages(peer):
    def pins(path):
        lines = (ROOT / path).read_text().replace("\\\n", " ").splitlines()
        return {line.split("--hash")[0].strip() for line in lines}

    added = pins(f"bench/peers/{peer}/requirements.txt") - pins("requirements.txt")
    assert {pin.split("==")[0] for pin in added} == {peer}
    assert next(server for server in PEERS if server.name == peer).same_app


def test_stop_kills_the_children_that_outlive_their_parent():
    parent = "import subprocess; child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True); child.wait()"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        assert processes.alive(child)
        started = time.monotonic()
        processes.stop(process.pid)
        assert not processes.alive(child)
        assert time.monotonic() - started < 5  # the child would end after 60 s
