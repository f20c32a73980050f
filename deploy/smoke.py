#!/usr/bin/env python3
"""Test a deployed service: readiness, the model, the page and its assets, and every sample image of the bundle.

    python3 deploy/smoke.py URL [--bundle model/imagenet] [--wait SECONDS]

Needs Python 3.9 or newer and no packages. Prints one line for each check. Exits with 0 if all checks passed, with 1 if
the service gave a wrong answer, and with 3 if it could not be reached. If SMOKE_TOKEN is set in the environment, it is
sent as the caller's identity token.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

TIMEOUT = 30  # seconds for one request
RECONNECT = 20  # seconds to repeat a check if the connection fails, for example while a tunnel is opened again
TOLERANCE = 0.05  # largest difference of a probability from the card's: CPUs round differently


class CheckError(Exception):
    """A check failed; the message says why."""


class UnreachableError(CheckError):
    """The service did not answer: there was no response, or a proxy in front of it answered itself."""


def fetch(url: str, body: bytes | None = None, content_type: str = "") -> tuple[int, str, bytes]:
    """Return the status, content type and body of a response, for any status.

    Raises OSError if there is no response.
    """
    headers = {"User-Agent": "quintet-smoke"}
    if content_type:
        headers["Content-Type"] = content_type
    if os.environ.get("SMOKE_TOKEN"):
        headers["Authorization"] = f"Bearer {os.environ['SMOKE_TOKEN']}"
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - the caller chooses the URL
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
            return response.status, response.headers.get_content_type(), response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get_content_type(), error.read()


def require_ok(status: int, content: bytes) -> None:
    if status != 200:
        raise CheckError(f"status {status}: {content[:200].decode(errors='replace')}")


def fetch_ok(url: str, expected_type: str, body: bytes | None = None, content_type: str = "") -> bytes:
    """Return the body of a response that must have status 200 and the expected content type."""
    status, received_type, content = fetch(url, body, content_type)
    require_ok(status, content)
    if received_type != expected_type:
        raise CheckError(f"content type {received_type}, expected {expected_type}")
    return content


def check_ready(url: str, timeout: float) -> str:
    """Poll /ready until its status is 200, for at most `timeout` seconds.

    The service answers with JSON, whatever the status. Other answers with status 404 or 5xx come from a proxy in front
    of it: a new load balancer answers so for minutes, although the service is ready.
    """
    deadline = time.monotonic() + timeout
    while True:
        kind: type[CheckError] = UnreachableError
        try:
            status, received_type, content = fetch(urljoin(url, "ready"))
            if "json" in received_type or (status != 404 and status < 500):
                kind = CheckError
            require_ok(status, content)
            return "ready"
        except (CheckError, OSError, HTTPException) as error:
            if time.monotonic() > deadline:
                raise kind(f"not ready after {timeout:g} s: {error}") from error
            time.sleep(1)


def check_model(url: str, card: dict[str, Any]) -> str:
    """The deployed bundle is the expected one."""
    deployed = json.loads(fetch_ok(urljoin(url, "model"), "application/json"))
    for field in ("name", "version"):
        if deployed[field] != card[field]:
            raise CheckError(f"{field} is {deployed[field]}, expected {card[field]}")
    return f"{card['name']} {card['version']}"


def check_page(url: str) -> str:
    """The page and every asset that it refers to can be fetched."""
    html = fetch_ok(url, "text/html").decode()
    assets = sorted(set(re.findall(r'(?:src|href)="([^"#:]*assets/[^"]+)"', html)))
    if not assets:
        raise CheckError("the page refers to no assets")
    for asset in assets:
        status, _, content = fetch(urljoin(url, asset))
        if status != 200 or not content:
            raise CheckError(f"{asset}: status {status}, {len(content)} bytes")
    return f"page and {len(assets)} assets"


def check_sample(url: str, image: Path, expected: dict[str, Any]) -> str:
    """A sample image gets its expected label, and its expected probability within TOLERANCE."""
    content_type = {".png": "image/png", ".webp": "image/webp"}.get(image.suffix, "image/jpeg")
    result = json.loads(fetch_ok(urljoin(url, "predict"), "application/json", image.read_bytes(), content_type))
    top = result["predictions"][0]
    if top["label"] != expected["label"]:
        raise CheckError(f"{top['label']!r}, expected {expected['label']!r}")
    if abs(top["probability"] - expected["probability"]) > TOLERANCE:
        raise CheckError(f"{top['label']} {top['probability']:.3f}, expected {expected['probability']:.3f}")
    return f"{top['label']} {top['probability']:.3f}"


def repeat(url: str, check: Callable[[], str]) -> str:
    """Run a check, and again for RECONNECT seconds while the connection fails.

    If the service still answers /ready then, the failure is its own: it hangs or crashes. Otherwise it is unreachable.
    """
    deadline = time.monotonic() + RECONNECT
    while True:
        try:
            return check()
        except (OSError, HTTPException) as error:
            if time.monotonic() > deadline:
                check_ready(url, RECONNECT)
                raise CheckError(f"no response: {error}") from error
            time.sleep(0.5)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url", help="the URL of the service")
    parser.add_argument("--bundle", type=Path, default=Path("model/imagenet"), help="the expected bundle")
    parser.add_argument("--wait", type=float, default=0, help="seconds to wait until the service is ready")
    arguments = parser.parse_args()
    url = arguments.url.rstrip("/") + "/"
    card = json.loads((arguments.bundle / "model.json").read_text("utf-8"))

    checks: list[tuple[str, Callable[[], str]]] = [
        ("ready", partial(check_ready, url, arguments.wait)),
        ("model", partial(check_model, url, card)),
        ("page", partial(check_page, url)),
    ]
    for sample in card["samples"]:
        image = arguments.bundle / sample["file"]
        checks.append((sample["file"], partial(check_sample, url, image, sample["expected"])))
    failures = unreachable = 0
    for name, check in checks:
        start = time.monotonic()
        try:
            outcome, message = "ok", check() if name == "ready" else repeat(url, check)
        except (CheckError, ValueError, KeyError) as error:
            outcome, message = "FAIL", str(error)
            failures += 1
            unreachable += isinstance(error, UnreachableError)
        print(f"{outcome:5}{name:24}{1000 * (time.monotonic() - start):7.0f} ms  {message}", flush=True)
        if name == "ready" and failures:
            break  # the other checks would fail, too
    print(f"{failures} of {len(checks)} checks failed" if failures else f"all {len(checks)} checks passed")
    if failures and failures == unreachable:
        return 3
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
