"""Draw every page that hashpipe makes: wide, on a phone and in the dark.

hashpipe demo && python docs/screenshots.py hashpipe-demo/workspace screenshots
python docs/screenshots.py --docs hashpipe-demo/workspace    draws the pictures of docs/pages.md again

Needs Chromium and playwright, and the workspace of a demo, whose photos are rendered.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

IMAGES = Path(__file__).with_name("images")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
HOW: dict[str, dict[str, Any]] = {
    "wide": WIDE,
    "dark": {**WIDE, "color_scheme": "dark"},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "is_mobile": True,
        "has_touch": True,
        "device_scale_factor": 2,
    },
}
FILES = {
    "pairs": "pairs/report.html",
    "eval": "eval/report.html",
    "groups": "groups/groups.html",
    "search": "search.html",
    "card": "model/card.html",
}
VIEWS = {
    "serve": "#/",
    "serve-places": "#/places",
    "serve-place": "#/places/0",
    "serve-similar": "#/similar/0",
    "serve-api": "docs",
}
SHOWN = {  # what docs/pages.md shows: page and how; most of the picture is its first screen
    "pairs": "wide",
    "eval": "wide",
    "groups": "wide",
    "search": "dark",
    "card": "wide",
    "serve-place": "wide",
    "pairs-phone": "phone",
}
PRESSED = {"groups": "Same place"}  # a button that shows more of a page than it begins with
BYTES = 150_000  # of a picture in the docs, at most


@dataclass
class Drawn:
    """A page that was opened: its overflow and height in pixels, and what it asked for elsewhere or failed at."""

    name: str
    how: str
    overflow: int = 0
    height: int = 0
    problems: list[str] = field(default_factory=list)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise SystemExit("There is no Chromium here; install it first: apt-get install chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(browser: Any, url: str, name: str, how: str) -> Iterator[tuple[Any, Drawn]]:
    """A page at a width, once its pictures are there, and what was seen of it."""
    drawn = Drawn(name, how)
    context = browser.new_context(**HOW[how])
    page = context.new_page()
    home = url.split("#")[0].rsplit("/", 1)[0]
    page.on("pageerror", lambda error: drawn.problems.append(f"script: {error}"))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith((home, "data:", "blob:")) else drawn.problems.append(asked.url),
    )
    page.goto(url)
    page.wait_for_load_state("networkidle")
    page.evaluate(
        """async () => {
            for (let down = 0; down < document.body.scrollHeight; down += 700) {
                scrollTo(0, down);
                await new Promise((done) => setTimeout(done, 30));
            }
            scrollTo(0, 0);
        }"""
    )  # pictures come when they are scrolled to
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(400)  # what fades in
    drawn.overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    drawn.height = page.evaluate("document.documentElement.scrollHeight")
    try:
        yield page, drawn
    finally:
        context.close()


@contextlib.contextmanager
def addresses(workspace: Path, served: bool = True) -> Iterator[dict[str, str]]:
    """The address of every page of a workspace that there is, by name; the served ones while this is open."""
    found = {
        name: (workspace / path).absolute().as_uri() for name, path in FILES.items() if (workspace / path).exists()
    }
    if not served or not (workspace / "index").exists():
        yield found
        return
    from hashpipe.hashing.serve.options import ServeOptions
    from hashpipe.hashing.serve.run import listening

    with listening(workspace, ServeOptions(port=0)) as told:
        yield found | {name: told.url + view for name, view in VIEWS.items()}


def draw(workspace: Path, target: Path, names: list[str], widths: list[str]) -> list[Drawn]:
    """Write TARGET/NAME-HOW.png of the pages named (all where none is), 6,000 pixels at most; returns what was seen."""
    target.mkdir(parents=True, exist_ok=True)
    seen = []
    with addresses(workspace, not names or not set(names) <= set(FILES)) as found, chromium() as browser:
        for name, url in found.items():
            for how in widths if not names or name in names else []:
                with opened(browser, url, name, how) as (page, drawn):
                    if name in PRESSED:
                        page.get_by_role("button", name=PRESSED[name]).click()
                        page.wait_for_load_state("networkidle")
                    width = HOW[how]["viewport"]["width"]
                    page.screenshot(
                        path=target / f"{name}-{how}.png", full_page=True,
                        clip={"x": 0, "y": 0, "width": width, "height": min(drawn.height, 6000)},
                    )  # fmt: skip
                    seen.append(drawn)
    return seen


def as_jpeg(path: Path) -> bytes:
    """The first screen of a drawn page, small enough for the docs."""
    with Image.open(path) as picture:
        shown = picture.convert("RGB")
    shown = shown.crop((0, 0, shown.width, min(shown.height, round(shown.width * (0.8 if shown.width > 900 else 2)))))
    shown.thumbnail((1000, 1000))
    for quality in (85, 75, 65, 50):
        buffer = io.BytesIO()
        shown.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= BYTES:
            break
    return buffer.getvalue()


def main(arguments: list[str]) -> int:
    docs = "--docs" in arguments
    workspace, *rest = [one for one in arguments if one != "--docs"]  # with --docs: names of pictures, or all
    if docs:
        if not (Path(workspace).parent / "truth.json").exists():
            raise SystemExit(f"{workspace} is not the workspace of a demo; the docs show rendered photos alone.")
        with tempfile.TemporaryDirectory() as scratch:
            for name, how in {name: SHOWN[name] for name in rest or SHOWN}.items():
                page = name.removesuffix("-phone")
                draw(Path(workspace), Path(scratch), [page], [how])
                (IMAGES / f"page-{name}.jpg").write_bytes(as_jpeg(Path(scratch) / f"{page}-{how}.png"))
        return 0
    target, *names = rest or ["screenshots"]
    widths = [one for one in names if one in HOW] or list(HOW)
    bad = 0
    for one in draw(Path(workspace), Path(target), [name for name in names if name not in HOW], widths):
        print(f"{one.name:14} {one.how:6} {one.height:6} px high, {one.overflow} px too wide", *one.problems)
        bad += bool(one.overflow or one.problems)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
