"""Pages in a headless Chromium, for tests: what they load, what they complain of, and what axe-core finds."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.requiring import lacking

BROWSER = "browser"
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def launched() -> Iterator[Any]:
    """A browser of Playwright on the machine's own Chromium; nothing is downloaded."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        lacking(BROWSER, f"no Chromium: none of {', '.join(_NAMES)}")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking(BROWSER, "no playwright: install the extra `dev`")
    with sync_playwright() as driver:
        # Chromium's own sandbox asks for rights that containers do not have; it opens our pages alone.
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, path: Path, width: int = 1100) -> Iterator[Any]:
    """A page of a file; when it is left, it must have loaded nothing but files beside it, without complaint.

    Args:
        browser: of `launched`.
        path: the page's.
        width: of the window in pixels.
    """
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    yield page
    page.close()
    beside = path.parent.as_uri()
    assert [url for url in asked if not url.startswith((f"{beside}/", "data:"))] == []
    assert complaints == []


def violations(page: Any) -> list[str]:
    """What axe-core calls serious or critical: rule, and where."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {node['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]
