"""Chromium as the tests drive it."""

from __future__ import annotations

import base64
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def page_at(browser: Any, url: str, **how: Any) -> Iterator[Any]:
    """A page of a browser of its own. Fails where the page asks anybody else, or anything goes wrong in it."""
    context = browser.new_context(**how)
    problems: list[str] = []
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))
    page.on("console", lambda message: _note(problems, message))
    page.on("request", lambda asked: None if asked.url.startswith((url, "blob:")) else problems.append(asked.url))
    page.goto(url)
    page.wait_for_selector("#grid .shot, .state:visible")
    yield page
    context.close()
    assert not problems, problems


def _note(problems: list[str], message: Any) -> None:
    # answers of 4xx are what some tests are about; a breach of the content policy is an error like any other
    if message.type == "error" and not message.text.startswith("Failed to load resource"):
        problems.append(f"console: {message.text}")


def give(page: Any, kind: str, content: bytes, name: str = "photo.png", mime: str = "image/png") -> None:
    """Drop a file on the page, or paste it (kind "drop" or "paste")."""
    page.evaluate(
        """([kind, content, name, mime]) => {
            const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name, { type: mime }));
            const how = { bubbles: true, cancelable: true };
            if (kind === "paste") document.dispatchEvent(new ClipboardEvent("paste", { ...how, clipboardData: data }));
            else for (const type of ["dragenter", "dragover", "drop"])
                document.getElementById("drop").dispatchEvent(new DragEvent(type, { ...how, dataTransfer: data }));
        }""",
        [kind, base64.b64encode(content).decode(), name, mime],
    )


def found(page: Any) -> None:
    """Wait until a search is over."""
    page.wait_for_selector("#results[aria-busy=false]")
    page.wait_for_selector("#asked:not([hidden])")


def choose(page: Any, path: Path) -> None:
    page.set_input_files("#file", str(path))
    found(page)
