"""Every page that is a file, in a real Chromium: fits a phone, is no scroll of miles, readable in light and in dark.

The served page has tests of its own (tests/hashing/serve/test_serve_page.py).
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from page_samples import make_pages

pytest.importorskip("playwright", reason="pages are tested with playwright: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="pages are tested with chromium: apt-get install chromium")

REPOSITORY = Path(__file__).resolve().parents[1]
NAMES = ("pairs", "eval", "groups", "search", "card", "methods")
HIGHEST = {"wide": 7_000, "phone": 12_000}  # pixels, folded as it opens
LOW_CONTRAST = """() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const parts = (colour) => [...numbers(colour).slice(0, 3), numbers(colour)[3] ?? 1];
    const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
        .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
        .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
    const found = [];
    for (const one of document.querySelectorAll("body *")) {
        const words = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!words || !one.checkVisibility() || one.matches(":disabled, script, style, noscript")) continue;
        const svg = one.namespaceURI.endsWith("svg");
        let ground = one;
        while (ground && parts(getComputedStyle(ground).backgroundColor)[3] < 1) ground = ground.parentElement;
        const style = getComputedStyle(one);
        const below = light(parts(getComputedStyle(ground).backgroundColor));
        const both = [light(parts(svg ? style.fill : style.color)), below];
        const contrast = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
        if (contrast < 4.5) found.push([one.tagName, one.textContent.trim().slice(0, 30), contrast]);
    }
    return found;
}"""
UNREACHED = """() => [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility()
    && one.scrollWidth > one.clientWidth + 1 && ["auto", "scroll"].includes(getComputedStyle(one).overflowX)
    && one.tabIndex < 0).map((one) => one.outerHTML.slice(0, 80))"""  # scrolls by the mouse alone
UNNAMED = """() => document.querySelectorAll("img:not([alt]), canvas:not([aria-label]), [role=img]:not([aria-label])")
    .length + [...document.querySelectorAll("button, a")].filter((one) => one.checkVisibility()
        && !(one.getAttribute("aria-label") || one.textContent.trim() || one.querySelector("img[alt]"))).length"""
STOP = """() => { const one = document.activeElement;
    return [one === document.body, getComputedStyle(one).outlineStyle, one.outerHTML.slice(0, 80)]; }"""


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", REPOSITORY / "docs" / f"{name}.py")
    assert spec and spec.loader  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def screenshots() -> ModuleType:
    return script("screenshots")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_pages(tmp_path_factory.mktemp("pages"), REPOSITORY)


@pytest.fixture(scope="module")
def browser(screenshots):
    with screenshots.chromium() as opened:
        yield opened


@pytest.mark.parametrize("how", ["wide", "dark", "phone"])
@pytest.mark.parametrize("name", NAMES)
def test_a_page_fits_loads_nothing_and_can_be_read(browser, screenshots, pages, name, how):
    with screenshots.opened(browser, pages[name].as_uri(), name, how) as (page, drawn):
        assert drawn.overflow == 0
        assert drawn.problems == []
        assert 300 < drawn.height <= HIGHEST["phone" if how == "phone" else "wide"]
        page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert page.evaluate(LOW_CONTRAST) == []
        assert page.evaluate(UNREACHED) == []
        assert page.evaluate(UNNAMED) == 0
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (max(int(one) for one in paper[4:-1].split(", ")) < 80) == (how == "dark")


@pytest.mark.parametrize("name", NAMES)
def test_every_stop_of_the_keyboard_can_be_seen(browser, screenshots, pages, name):
    with screenshots.opened(browser, pages[name].as_uri(), name, "wide") as (page, _):
        seen = 0
        for _ in range(25):
            page.keyboard.press("Tab")
            body, outline, what = page.evaluate(STOP)
            if body:
                break
            assert outline != "none", what
            seen += 1
        assert seen >= 2


def test_a_model_of_the_pairs_report_turns(browser, screenshots, pages):
    painted = """() => { const canvas = document.querySelector("canvas");
        return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
            .reduce((sum, value, at) => (sum * 31 + value * (at % 7)) % 1000003, 0); }"""
    with screenshots.opened(browser, pages["pairs"].as_uri(), "pairs", "wide") as (page, drawn):
        page.get_by_role("button", name="Turn this model").first.click()
        canvas = page.locator("canvas")
        assert canvas.evaluate("one => one === document.activeElement")
        assert "10 cameras" in canvas.get_attribute("aria-label")
        pictures = []
        for press in ("ArrowLeft", "ArrowUp", "+", "Shift+ArrowRight", "0", "1"):
            page.keyboard.press(press)
            page.wait_for_timeout(120)
            pictures.append(page.evaluate(painted))
        assert len(set(pictures)) == len(pictures)
        box = canvas.bounding_box()
        page.mouse.move(box["x"] + 60, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + 160, box["y"] + 90, steps=3)
        page.mouse.up()
        page.wait_for_timeout(120)
        assert page.evaluate(painted) not in pictures
        assert drawn.problems == []


def test_the_evaluation_begins_with_a_picture_and_ends_with_notes_and_fingerprints(pages):
    text = pages["eval"].read_text(encoding="utf-8").split("</style>", 1)[1]
    order = ["<h1>Evaluation of model 0123456789abcdef", "<svg", "mAP of joint codes", "<h2>", "<h2>Notes", "<footer>"]
    found = [text.index(one) for one in order]
    assert found == sorted(found)
    assert "Hamming distance " in text
    assert "· right" not in text
    footer = text[text.index("<footer>") :]
    assert footer.count("<code>") == 2


def test_curves_begin_where_a_ball_holds_a_photo():
    from hashpipe.hashing.evaluation.plots import curve

    recall, precision = curve({"recall": [0, 0.1, 0.5], "precision": [0, 0.2, 0.6], "empty": [1.0, 0.75, 0.0]})
    assert recall.tolist() == [0.1, 0.5]
    assert precision == pytest.approx([0.8, 0.6])  # of the quarter that finds one, not of all
