"""The page of groups in a real Chromium: from a file, offline, with a group of thousands."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from hashpipe.common.files import open_workspace, sha256_file
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, write_codes
from hashpipe.hashing.duplicates.groups import groups
from hashpipe.hashing.duplicates.options import GroupsOptions

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """5,000 files of one code (ten of them exist), and 60 pairs."""
    folder = tmp_path_factory.mktemp("page")
    rng = np.random.default_rng(0)
    for row in range(10):
        Image.fromarray(rng.integers(0, 256, (60, 80, 3)).astype(np.uint8)).save(folder / f"{row:04}.jpg")
    pairs = np.repeat(rng.integers(1, 256, (60, 8)).astype(np.uint8), 2, axis=0)
    codes = np.concatenate([np.zeros((5000, 8), np.uint8), pairs])
    count = len(codes)
    paths = tuple(f"{row:04}.jpg" for row in range(count))
    hashes = tuple(sha256_file(folder / paths[row]) if row < 10 else f"{row:04x}" * 16 for row in range(count))
    space = CodeSpace("0123456789abcdef", 64, np.zeros(64, np.float32))
    ids, quality = np.arange(count, dtype=np.int32), np.ones(count, np.float32)
    workspace = open_workspace(folder / "ws", create=True)
    write_codes(workspace / "codes.parquet", CodeSet(space, ids, paths, hashes, codes, quality, str(folder)))
    return groups(workspace, GroupsOptions(radius=3, look="off", near_radius=1, force=True)).folder / "groups.html"


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: apt-get install chromium")
def test_page_in_chromium(page_file):
    problems: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith("file:") else problems.append(asked.url))
        page.goto(page_file.as_uri())
        page.wait_for_selector("article")
        assert "61 groups of 5,120 photos" in page.text_content("#title")
        assert page.locator("article").count() == 12
        assert page.evaluate("document.querySelectorAll('*').length") < 1000  # whatever the size of its groups
        assert page_file.stat().st_size < 400_000
        first = page.locator("article").first
        assert "5,000 photos" in first.text_content()
        assert first.locator("figcaption").first.text_content().endswith("80 × 60 pixels · 4 kB · 0 bits away")
        assert first.locator("figure").count() == 6
        assert first.locator("img").evaluate_all("all => all.every((one) => one.alt && one.loading === 'lazy')")
        first.locator("img").first.evaluate("image => image.decode()")  # the picture is there
        first.get_by_role("button").click()
        assert first.locator("figure").count() == 10
        first.get_by_role("button", name="by name").click()
        assert first.locator("li").count() == 290
        assert "4,700 more are in groups.csv" in first.text_content()
        # by keyboard: on to the next page, and to another kind
        page.locator("#above").get_by_role("button", name="Next").focus()
        page.keyboard.press("Enter")
        assert "page 2 of 6" in page.text_content("#above")
        page.locator("#kinds button").nth(3).focus()
        page.keyboard.press("Space")
        assert "None were found" in page.text_content("#groups")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
    assert not problems
