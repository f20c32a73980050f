"""Send a case to the server, and say what the server did in the terms of the case's `expected`."""

import time

from tests.server.conformance.case import AWAIT, Case
from tests.server.wire import Answer, Client

_PROBE = b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n"
_ANSWER = 5  # seconds for an answer that must come
_CLOSE = 1  # seconds for the server to close a connection after its last answer
_SILENCE = 0.3  # seconds in which nothing must come
_BETWEEN = 0.002  # seconds between two pieces: enough for segments of their own


def outcomes(case: Case) -> list[tuple[list[set[str]], str]]:
    """The allowed outcomes: (the allowed statuses of each answer, the state of the connection)."""
    found = []
    for text in case.expected.split("|"):
        *statuses, state = text.split()
        found.append(([set(status.split("/")) for status in statuses], state))
    return found


def observe(case: Case, port: int) -> tuple[list[Answer], str]:
    """Send `case` on a connection of its own: the answers, and the state of the connection after them.

    The state is one of a case's; "any" if the case does not depend on it.
    """
    answers: list[Answer] = []

    def read(timeout: float) -> bool:
        answer = client.read(timeout, without_content=len(answers) in case.without_content)
        if answer:
            answers.append(answer)
        return bool(answer)

    with Client(port, timeout=_ANSWER) as client:
        for piece in case.sent if isinstance(case.sent, tuple) else (case.sent,):
            if piece == AWAIT:
                read(_ANSWER)
            else:
                client.send(piece)
                time.sleep(_BETWEEN if isinstance(case.sent, tuple) else 0)
        if case.half_close:
            client.half_close()
        while not client.closed and not _matches(case, answers) and read(_ANSWER):
            pass
        states = {state for statuses, state in outcomes(case) if _fits(statuses, answers)}
        if "closed" in states or not states:
            while read(_CLOSE if "closed" in states else _SILENCE):
                pass
            if client.closed or "closed" in states:
                return answers, "closed" if client.closed else "open"
        if "waits" in states:
            read(_SILENCE)
            return answers, "closed" if client.closed else "waits"
        if "kept" in states:
            client.send(_PROBE)
            before = len(answers)
            while read(_ANSWER):
                if answers[-1].content.startswith(b"ready"):
                    return answers[:-1], "kept"
            return answers, "closed" if client.closed else f"{len(answers) - before} more answers"
        read(_SILENCE if not client.closed else 0)
        return answers, "any"


def allowed(case: Case, answers: list[Answer], state: str) -> bool:
    return any(_fits(statuses, answers) and wanted in (state, "any") for statuses, wanted in outcomes(case))


def _fits(statuses: list[set[str]], answers: list[Answer]) -> bool:
    return len(statuses) == len(answers) and all(
        str(answer.status) in wanted for wanted, answer in zip(statuses, answers, strict=True)
    )


def _matches(case: Case, answers: list[Answer]) -> bool:
    """The answers so far are all those of an allowed outcome."""
    return any(_fits(statuses, answers) for statuses, _ in outcomes(case))
