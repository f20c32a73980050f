#!/usr/bin/env python3
"""Test what was deployed: readiness, the model, the page and its assets, and every sample picture.

    python3 deploy/smoke.py URL [--bundle model/imagenet] [--wait SECONDS]

Needs nothing but Python. Prints one line a check and ends with 0 when all passed, else 1. SMOKE_TOKEN in the
environment is sent as the caller's identity token.
"""

import argparse
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

TIMEOUT = 30  # seconds for one request
TOLERANCE = 0.05  # how far a probability may be from the card's: other processors round differently


class Failed(Exception):
    """A check that did not pass, and why."""


def fetch(url: str, body: bytes | None = None, kind: str = "") -> tuple[int, str, bytes]:
    """Return status, content type and body of an answer, whatever its status."""
    headers = {"User-Agent": "quintet-smoke"}
    if kind:
        headers["Content-Type"] = kind
    if os.environ.get("SMOKE_TOKEN"):
        headers["Authorization"] = f"Bearer {os.environ['SMOKE_TOKEN']}"
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - the address is the caller's own
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            return answer.status, answer.headers.get_content_type(), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get_content_type(), error.read()


def expect(url: str, kind: str, body: bytes | None = None, sent: str = "") -> bytes:
    """Fetch what has to be a 200 of the given content type."""
    status, got, content = fetch(url, body, sent)
    if status != 200:
        raise Failed(f"status {status}: {content[:200].decode(errors='replace')}")
    if got != kind:
        raise Failed(f"content type {got}, expected {kind}")
    return content


def ready(url: str, wait: float) -> str:
    """Poll until /ready is 200, for at most `wait` seconds."""
    end = time.monotonic() + wait
    while True:
        try:
            status, _, said = fetch(urljoin(url, "ready"))
            if status != 200:
                raise Failed(f"status {status}: {said[:200].decode(errors='replace')}")
            return "ready"
        except (Failed, OSError) as error:
            if time.monotonic() > end:
                raise Failed(f"not ready after {wait:g} s: {error}") from error
            time.sleep(1)


def model(url: str, card: dict) -> str:
    """The bundle that answers is the bundle that was meant to be deployed."""
    serving = json.loads(expect(urljoin(url, "model"), "application/json"))
    for part in ("name", "version"):
        if serving[part] != card[part]:
            raise Failed(f"{part} is {serving[part]}, expected {card[part]}")
    return f"{card['name']} {card['version']}"


def page(url: str) -> str:
    """The page is there, and so is every file that it links to."""
    html = expect(url, "text/html").decode()
    assets = sorted(set(re.findall(r'(?:src|href)="([^"#:]*assets/[^"]+)"', html)))
    for asset in assets:
        status, _, content = fetch(urljoin(url, asset))
        if status != 200 or not content:
            raise Failed(f"{asset}: status {status}")
    return f"page and {len(assets)} assets"


def sample(url: str, picture: Path, expected: dict) -> str:
    """A picture gets its expected label, with about its expected probability."""
    kind = {".png": "image/png", ".webp": "image/webp"}.get(picture.suffix, "image/jpeg")
    answer = json.loads(expect(urljoin(url, "predict"), "application/json", picture.read_bytes(), kind))
    best = answer["predictions"][0]
    if best["label"] != expected["label"]:
        raise Failed(f"{best['label']!r}, expected {expected['label']!r}")
    if abs(best["probability"] - expected["probability"]) > TOLERANCE:
        raise Failed(f"{best['label']} {best['probability']:.3f}, expected {expected['probability']:.3f}")
    return f"{best['label']} {best['probability']:.3f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="where the service answers")
    parser.add_argument(
        "--bundle", type=Path, default=Path("model/imagenet"), help="the bundle that should answer there"
    )
    parser.add_argument("--wait", type=float, default=0, help="seconds to wait until it is ready")
    arguments = parser.parse_args()
    url = arguments.url.rstrip("/") + "/"
    card = json.loads((arguments.bundle / "model.json").read_text("utf-8"))

    checks = [("ready", ready, arguments.wait), ("model", model, card), ("page", page)]
    for item in card["samples"]:
        checks.append((item["file"], sample, arguments.bundle / item["file"], item["expected"]))
    failures = 0
    for name, check, *details in checks:
        start = time.monotonic()
        try:
            outcome, said = "ok", check(url, *details)
        except (Failed, OSError, ValueError, KeyError) as error:
            outcome, said = "FAIL", str(error)
            failures += 1
        print(f"{outcome:5}{name:24}{1000 * (time.monotonic() - start):7.0f} ms  {said}", flush=True)
        if name == "ready" and failures:
            break  # nothing else can pass
    print(f"{failures} of {len(checks)} checks failed" if failures else f"all {len(checks)} checks passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
