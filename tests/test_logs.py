"""The access log, as a log collector reads it from stdout."""

import json
import logging
import re

import pytest

from app import logs

PATH = "/predict"


def application(_environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\n"]


def logged(capfd, form="text", level="info", project="", monkeypatch=None, **environ):
    """What one request writes to stdout."""
    if monkeypatch:
        monkeypatch.setattr(logs, "_PROJECT", project)
    statuses = []
    middleware = logs.access_log(application, level, form)
    body = middleware(
        {"REQUEST_METHOD": "POST", "PATH_INFO": PATH, **environ}, lambda status, *_: statuses.append(status)
    )
    assert (list(body), statuses) == ([b"ok\n"], ["200 OK"])
    return capfd.readouterr().out


def test_text_line_has_method_path_status_and_milliseconds(capfd):
    line = logged(capfd, QUERY_STRING="key=secret")
    clock, severity, method, path, status, milliseconds, unit = line.split(" ")
    assert (severity, method, path, status, unit) == ("INFO", "POST", PATH, "200", "ms\n")
    assert len(clock) == len("12:34:56")
    assert 0 <= float(milliseconds) < 1000


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("character", ["\n", "\r", "\x1b", "\x00", "\x7f", "\x85", "\u2028"])
def test_control_characters_in_the_path_are_escaped(capfd, form, character):
    output = logged(capfd, form, PATH_INFO=f"/a{character}2026 INFO forged")
    assert output.count("\n") == 1
    assert output.endswith("\n")
    assert character not in output.removesuffix("\n")
    assert "forged" in output


def test_printable_path_is_logged_as_it_is(capfd):
    assert " POST /caf\u00e9 200 " in logged(capfd, PATH_INFO="/caf\u00e9")


@pytest.mark.parametrize("form", ["text", "json"])
def test_long_path_and_user_agent_are_cut(capfd, form):
    output = logged(capfd, form, PATH_INFO="/" + "x" * 5000, HTTP_USER_AGENT="y" * 5000)
    assert "/" + "x" * 199 in output
    assert "x" * 200 not in output
    assert "y" * 201 not in output


def test_json_line_has_the_fields_of_cloud_logging(capfd):
    entry = json.loads(logged(capfd, "json", HTTP_USER_AGENT="curl"))
    assert entry["severity"] == "INFO"
    assert re.fullmatch(r"POST /predict 200 \d+\.\d ms", entry["message"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", entry["time"])
    latency = entry["httpRequest"].pop("latency")
    assert latency.endswith("s")
    assert 0 <= float(latency[:-1]) < 1
    assert entry["httpRequest"] == {
        "requestMethod": "POST",
        "requestUrl": PATH,
        "status": 200,
        "responseSize": "3",
        "userAgent": "curl",
    }


@pytest.mark.parametrize(("level", "lines"), [("debug", 1), ("info", 1), ("warning", 0), ("error", 0)])
def test_requests_are_logged_at_info_and_debug_only(capfd, level, lines):
    assert logged(capfd, level=level).count("\n") == lines


TRACE, SPAN = "0123456789abcdef0123456789abcdef", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("headers", "span", "sampled"),
    [
        ({"HTTP_X_CLOUD_TRACE_CONTEXT": f"{TRACE}/255;o=1"}, "00000000000000ff", True),
        ({"HTTP_X_CLOUD_TRACE_CONTEXT": f"{TRACE}/255;o=0"}, "00000000000000ff", False),
        ({"HTTP_X_CLOUD_TRACE_CONTEXT": TRACE}, None, False),
        ({"HTTP_TRACEPARENT": f"00-{TRACE}-{SPAN}-01"}, SPAN, True),
        ({"HTTP_TRACEPARENT": f"00-{TRACE}-{SPAN}-00"}, SPAN, False),
        ({"HTTP_TRACEPARENT": f"00-{TRACE}-{SPAN}-03"}, SPAN, True),
    ],
)
def test_json_line_belongs_to_the_trace_of_the_request(capfd, monkeypatch, headers, span, sampled):
    entry = json.loads(logged(capfd, "json", project="demo", monkeypatch=monkeypatch, **headers))
    assert entry["logging.googleapis.com/trace"] == f"projects/demo/traces/{TRACE}"
    assert entry.get("logging.googleapis.com/spanId") == span
    assert entry["logging.googleapis.com/trace_sampled"] is sampled


@pytest.mark.parametrize(
    ("project", "headers"),
    [("demo", {}), ("demo", {"HTTP_TRACEPARENT": "damaged"}), ("", {"HTTP_TRACEPARENT": f"00-{TRACE}-{SPAN}-01"})],
)
def test_json_line_without_project_or_trace_has_no_trace_fields(capfd, monkeypatch, project, headers):
    entry = json.loads(logged(capfd, "json", project=project, monkeypatch=monkeypatch, **headers))
    assert not any(name.startswith("logging.googleapis.com") for name in entry)


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        (logging.DEBUG, "DEBUG"),
        (logging.INFO, "INFO"),
        (logging.WARNING, "WARNING"),
        (logging.ERROR, "ERROR"),
        (logging.CRITICAL, "CRITICAL"),
    ],
)
def test_json_formatter_names_the_severity(level, severity):
    entry = json.loads(logs.JsonFormatter().format(logging.LogRecord("app", level, "", 1, "%s!", ("caf\u00e9",), None)))
    assert (entry["severity"], entry["message"], entry["logger"]) == (severity, "caf\u00e9!", "app")
    assert entry["time"].endswith("+00:00")


def test_json_formatter_keeps_the_traceback_in_the_message():
    error = ValueError("why")
    record = logging.LogRecord("app", logging.ERROR, "", 1, "failed", (), (ValueError, error, None))
    message = json.loads(logs.JsonFormatter().format(record))["message"]
    assert message.startswith("failed\n")
    assert "ValueError: why" in message


@pytest.fixture
def restored_loggers():
    loggers = [logging.getLogger(), logging.getLogger("gunicorn.error")]
    saved = [(logger, logger.handlers, logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, handlers, propagate, level in saved:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.mark.usefixtures("restored_loggers")
@pytest.mark.parametrize("name", ["app", "gunicorn.error"])
def test_every_logger_writes_json_to_stdout_once(capsys, name):
    logging.getLogger("gunicorn.error").addHandler(logging.StreamHandler())
    logging.getLogger("gunicorn.error").propagate = False
    logs.configure("warning", "json")
    logging.getLogger(name).warning("careful")
    logging.getLogger(name).info("not logged")
    output = capsys.readouterr()
    assert json.loads(output.out)["message"] == "careful"
    assert output.err == ""


@pytest.mark.usefixtures("restored_loggers")
def test_text_log_has_time_severity_and_message(capsys):
    logs.configure("info", "text")
    logging.getLogger("app").info("hello")
    clock, severity, message = capsys.readouterr().out.split()
    assert (len(clock), severity, message) == (8, "INFO", "hello")
