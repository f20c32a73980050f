"""What gunicorn.conf.py asks of gunicorn."""

import socket

import pytest

from tests.conftest import ROOT


def load():
    settings = {"__name__": "gunicorn_conf"}
    exec(compile((ROOT / "gunicorn.conf.py").read_text("utf-8"), "gunicorn.conf.py", "exec"), settings)
    return settings


def test_web_concurrency_is_the_number_of_workers(monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    assert load()["workers"] == 3


def test_stop_ends_before_cloud_run_kills_the_container_after_10_seconds():
    assert load()["graceful_timeout"] < 10


def test_uploads_are_answered_beside_one_that_takes_long():
    assert load()["threads"] > 1


def test_worker_that_a_busy_machine_delays_for_seconds_is_not_killed():
    assert load()["timeout"] >= 30


def test_bundle_is_loaded_once_and_its_memory_shared():
    assert load()["preload_app"]


@pytest.fixture
def settings_of_a_port_in_use(monkeypatch):
    with socket.create_server(("0.0.0.0", 0)) as listener:
        monkeypatch.setenv("PORT", str(listener.getsockname()[1]))
        yield load()


def test_port_in_use_ends_the_start_with_one_line_and_status_2(settings_of_a_port_in_use, capsys):
    with pytest.raises(SystemExit) as caught:
        settings_of_a_port_in_use["on_starting"](None)
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_new_master_takes_over_the_port_that_is_in_use(settings_of_a_port_in_use, monkeypatch):
    monkeypatch.setenv("GUNICORN_FD", "5")  # the listening socket of the old one
    settings_of_a_port_in_use["on_starting"](None)
