"""A real browser and the real server. A test fails if the browser reports an error or a warning on its console."""

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.conftest import IMAGENET
from tests.requirements import requires
from tests.server.serving import serving

_FLAGS = [
    "--headless",
    "--no-sandbox",  # Chromium's sandbox does not work as root, as in containers; only the app's own page is opened
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collect_file() -> None:
    requires("chromium")


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The address of a running server."""
    with serving() as server:
        yield f"http://localhost:{server.port}/"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Callable[..., Page]]:
    """Open the page in a new browser context: `visit(viewport=..., java_script_enabled=False)`."""
    contexts, messages = [], []

    def on_console(message: ConsoleMessage) -> None:
        # The browser reports every 4xx and 5xx; the page itself shows those of the two ways to send an image.
        path = message.location["url"].partition("#")[0].partition("?")[0]
        is_prediction = message.text.startswith("Failed to load resource") and path.endswith(("/", "/predict"))
        if message.type in ("error", "warning") and not is_prediction:
            messages.append(message.text)

    def visit(address: str = site, **options: object) -> Page:
        context = browser.new_context(**{"reduced_motion": "reduce", **options})
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("console", on_console)
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert messages == []


@pytest.fixture(scope="session")
def photos() -> list[str]:
    """Paths of the bundle's sample images; the first is the cat."""
    return sorted(map(str, (IMAGENET / "samples").iterdir()), key=lambda path: not path.endswith("cat.jpg"))
