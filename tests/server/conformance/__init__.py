"""Conformance with RFC 9112 (HTTP/1.1), and with the parts of RFC 9110 that a server needs for it, as data."""

from tests.server.conformance import (
    body_length,
    chunked_coding,
    connections,
    fields,
    request_line,
    semantics,
    smuggling,
)

SECTIONS = {
    "9112 2.2": "Message parsing",
    "9112 2.3": "HTTP version",
    "9112 3": "Request line",
    "9112 3.1": "Method",
    "9112 3.2": "Host",
    "9112 3.2.1": "Target in origin form",
    "9112 3.2.2": "Target in absolute form",
    "9112 3.2.3": "Target in authority form",
    "9112 3.2.4": "Target in asterisk form",
    "9112 5": "Field syntax",
    "9112 5.1": "Field line parsing",
    "9112 5.2": "Folded lines",
    "9112 6.1": "Transfer-Encoding",
    "9112 6.2": "Content-Length",
    "9112 6.3": "Message body length",
    "9112 7.1": "Chunked transfer coding",
    "9112 7.1.1": "Chunk extensions",
    "9112 7.1.2": "Trailer section",
    "9112 8": "Incomplete messages",
    "9112 9.3": "Persistence",
    "9112 9.3.2": "Pipelining",
    "9112 9.6": "Closing a connection",
    "9112 11.2": "Request smuggling",
    "9110 4.2": "http and https URIs",
    "9110 4.2.4": "User information in URIs",
    "9110 5.1": "Field names",
    "9110 5.3": "Field order",
    "9110 5.4": "Field limits",
    "9110 5.5": "Field values",
    "9110 7.6.1": "Connection",
    "9110 7.8": "Upgrade",
    "9110 9.3.2": "HEAD",
    "9110 9.3.7": "OPTIONS",
    "9110 10.1.1": "Expect",
}
CASES = [
    case
    for module in (request_line, fields, body_length, chunked_coding, connections, semantics, smuggling)
    for case in module.CASES
]


def tables() -> str:
    """The Markdown tables of docs/conformance.md: cases and outcome by section, and every deviation."""
    lines = ["| section | title | cases | outcome |", "|---|---|---:|---|"]
    for section, title in SECTIONS.items():
        cases = [case for case in CASES if case.section == section]
        deviations = sum(bool(case.deviation) for case in cases)
        outcome = f"{deviations} deviation{'s' * (deviations > 1)}, listed below" if deviations else "all pass"
        lines.append(f"| RFC {section.replace(' ', ', section ')} | {title} | {len(cases)} | {outcome} |")
    lines.append(f"| | **total** | **{len(CASES)}** | |")
    deviating = [case for case in CASES if case.deviation]
    if deviating:
        lines += ["", "| deviation | the RFC allows | why |", "|---|---|---|"]
        lines += [
            f"| RFC {case.section}: {case.name} | {case.expected.replace('|', 'or')} | {case.deviation} |"
            for case in deviating
        ]
    return "\n".join(lines) + "\n"
