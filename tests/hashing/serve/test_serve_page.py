"""The page in a real Chromium: found by mouse, by keyboard, on a phone, and with bad input."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, choose, chromium, found, give, page_at
from served import encoded, jpeg
from small_models import workspace_with
from test_serve_refusals import bomb

from hashpipe.hashing.codes.codes_file import CodeSet, write_codes
from hashpipe.hashing.encoding.encode import open_encoder
from hashpipe.hashing.search.index_commands import build_index
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.hashing.serve.options import ServeOptions
from hashpipe.hashing.serve.run import listening

pytest.importorskip("playwright", reason="the page is tested with playwright: pip install playwright")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="the page is tested with chromium: apt-get install chromium")

PAINTED = """() => {
    const canvas = document.getElementById('cloud-canvas');
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.filter((value, index) => index % 4 === 0 && value > 150).length;
}"""  # bright pixels of the drawing
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


def cards(page) -> list[str]:
    return page.locator("#grid .card .name").all_inner_texts()


def test_drop_a_photo_and_see_the_nearest(browser, served):
    content = (served.photos / "004.png").read_bytes()
    with page_at(browser, served.told.url) as page:
        give(page, "drop", content)
        found(page)
        wanted = served.search(content, limit=48).json()["results"]
        names = cards(page)
        assert names == [Path(hit["name"]).name for hit in wanted[: len(names)]]
        first = page.locator("#grid .card").first
        assert first.locator("b").inner_text() == "same code"
        assert first.locator("a").inner_text() == "Place 1"
        assert page.locator("#chosen").evaluate("image => image.naturalWidth") == 120
        page.wait_for_selector("#grid .shot img.there")
        page.wait_for_function("() => document.getElementById('live').textContent.includes('within')")


def test_the_radius_decides_what_is_shown(browser, served):
    with page_at(browser, served.told.url) as page:
        choose(page, served.photos / "004.png")
        hits = served.search((served.photos / "004.png").read_bytes(), limit=48).json()["results"]
        slider = page.locator("#radius")
        for radius in (0, 4, 9, 5):
            slider.fill(str(radius))
            inside = [Path(hit["name"]).name for hit in hits if hit["distance"] <= radius]
            page.wait_for_function(
                "count => document.querySelectorAll('#grid .card').length === count", arg=len(inside)
            )
            assert cards(page) == inside
            assert f"within {radius} bit" in page.locator("#radius-note").inner_text()
        slider.focus()
        page.keyboard.press("ArrowLeft")
        assert page.locator("#radius-value").inner_text() == "4 of 16 bits"


@pytest.mark.slow
def test_nothing_within_the_radius_says_how_far_it_is(browser, served):
    nearest = served.client.get("/api/photos/18/similar").json()["results"][0]["distance"]
    assert nearest > 0
    with page_at(browser, f"{served.told.url}") as page:
        page.goto(f"{served.told.url}#/similar/18")
        found(page)
        page.locator("#radius").fill("0")
        assert f"The nearest is {nearest} bit" in page.locator("#results-state").inner_text()
        page.get_by_role("button", name=f"Widen to {nearest}").click()
        assert len(cards(page)) >= 1


def test_a_place_with_its_photos_and_points_from_above(browser, served):
    with page_at(browser, served.told.url) as page:
        page.get_by_role("link", name="Places").click()
        page.get_by_role("link", name="Place 0, 4 photos").click()
        page.wait_for_selector("#cloud:not([hidden])")
        assert page.locator("#place-grid .card").count() == 4
        assert "300 3D points, 4 cameras" in page.locator("#cloud-text").inner_text()
        painted = PAINTED
        page.wait_for_function(f"() => ({painted})() > 300")
        whole = page.evaluate(painted)
        page.get_by_role("button", name="Zoom in").click()
        page.wait_for_function(f"() => ({painted})() !== {whole}")
        page.get_by_role("button", name="From the front").click()
        page.wait_for_function(f"() => ![0, {whole}].includes(({painted})())")
        page.get_by_role("button", name="From above").click()
        page.wait_for_function(f"() => ({painted})() === {whole}")
        camera = served.client.get("/api/places/0/cloud").json()["cameras"][2]
        at = page.evaluate(
            """([x, y, width, height]) => {
                const box = document.getElementById('cloud-canvas').getBoundingClientRect();
                const scale = 0.9 * Math.min(box.width / width, box.height / height);
                return [box.x + box.width / 2 + x * scale, box.y + box.height / 2 - y * scale - 9];
            }""",
            [*camera["at"], *(served.client.get("/api/places/0/cloud").json()[name] for name in ("width", "height"))],
        )
        page.mouse.click(*at)
        page.wait_for_selector("#viewer[open]")
        page.wait_for_function(
            "() => document.getElementById('viewer-title').textContent === 'фото <b>1.png'"
        )  # as text
        page.keyboard.press("Escape")
        page.goto(f"{served.told.url}#/places/1")
        page.wait_for_selector("#cloud-none:not([hidden])")
        assert page.locator("#cloud-none").inner_text() == "Place 1 has no 3D model."


def test_the_first_view_shows_each_place_once_in_order_and_how_much_more_there_is(browser, served):
    with page_at(browser, served.told.url) as page:
        shown = page.locator("#grid .card .meta").all_text_contents()
        assert shown == ["Place 0+ 3 photos", "Place 1+ 2 photos"]
        assert "one photo of each place" in page.locator("#results-lead").inner_text()


def test_by_keyboard_alone(browser, served):
    with page_at(browser, served.told.url) as page:
        focused = "document.activeElement"
        page.keyboard.press("Tab")
        assert page.evaluate(f"{focused}.className") == "skip"
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate(f"{focused}.id") == "file":
                break
        assert page.evaluate(f"getComputedStyle({focused}.parentElement).outlineStyle") == "solid"  # it can be seen
        page.keyboard.press("Tab")
        shot = f"{focused}.dataset.photo"
        page.wait_for_function(f"() => {focused}.matches('#grid .shot')")
        first = page.evaluate(shot)
        assert page.evaluate(f"getComputedStyle({focused}).outlineStyle") == "solid"
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
        assert page.evaluate(shot) == first
        page.keyboard.press("Enter")  # on the first page a photo is searched with
        found(page)
        page.locator("#radius").focus()
        for _ in range(16):
            page.keyboard.press("ArrowRight")
        while not page.evaluate(f"{focused}.matches('#grid .shot')"):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("#viewer[open]")
        title = page.locator("#viewer-title")
        page.wait_for_function("() => document.getElementById('viewer-facts').children.length > 2")
        before = title.inner_text()
        page.keyboard.press("ArrowRight")
        page.wait_for_function(
            "before => !['Photo', before].includes(document.getElementById('viewer-title').textContent)", arg=before
        )
        page.keyboard.press("Escape")
        page.wait_for_selector("#viewer:not([open])", state="attached")
        page.wait_for_function(f"() => {focused} === document.querySelectorAll('#grid .shot')[1]")
        page.keyboard.press("Enter")
        similar = page.locator("#viewer-similar")
        for _ in range(8):
            page.keyboard.press("Tab")
            if similar.evaluate("link => link === document.activeElement"):
                break
        page.keyboard.press("Enter")
        page.wait_for_function("() => location.hash.startsWith('#/similar/')")
        found(page)


FOCUS = """() => {
    const one = document.activeElement;
    const seen = one.id === 'file' ? one.parentElement : one;
    return {
        what: one.matches('.shot') ? 'shot' : one.id || one.textContent.trim(),
        body: one === document.body,
        visible: one.checkVisibility() && getComputedStyle(seen).outlineStyle !== 'none',
    };
}"""  # what has the focus, and whether that can be seen


def tab_to(page, what: str, key: str = "Tab") -> None:
    """Press Tab until it is there; every stop on the way can be seen."""
    for _ in range(30):
        page.keyboard.press(key)
        stop = page.evaluate(FOCUS)
        assert stop["visible"], stop
        if stop["what"] == what:
            return
    raise AssertionError(f"Tab does not come to {what}")


def test_tab_comes_to_everything_in_the_order_it_is_read(browser, served):
    with page_at(browser, served.told.url) as page:
        page.goto(f"{served.told.url}#/similar/14")
        found(page)
        page.locator("#radius").fill(page.locator("#radius").get_attribute("max"))
        page.wait_for_function("() => document.querySelectorAll('#grid .card').length > 4")
        first = "".join(page.locator("#grid .card").first.locator(".meta a").all_inner_texts())
        page.locator(".skip").focus()
        stops = []
        for _ in range(40):
            page.keyboard.press("Tab")
            stop = page.evaluate(FOCUS)
            if stop["body"]:
                break
            assert stop["visible"], stop
            stops.append(stop["what"])
        assert stops == [
            "hashpipe", "Search", "to-places", "file", "Place 1", "radius", "Code", "shot",
            *([first] if first else []), "API",
        ]  # fmt: skip
        for number in range(
            page.locator("#grid .card").count()
        ):  # and inside the grid to every photo, and from it to its place
            page.locator("#grid .shot").nth(number).focus()
            entry = page.locator("#grid .card").nth(number)
            page.keyboard.press("Tab")
            links = entry.locator(".meta a").count()
            assert entry.evaluate("card => card.contains(document.activeElement)") is (links == 1)
            if links:
                assert page.evaluate(FOCUS)["visible"]
                page.keyboard.press("Shift+Tab")
                assert page.evaluate(FOCUS)["what"] == "shot"
        page.goto(f"{served.told.url}#/places")
        page.locator(".mosaic").first.wait_for()
        page.locator(".skip").focus()
        page.keyboard.press("Enter")  # the link that skips to the photos stays in the view
        assert page.evaluate("document.activeElement.id") == "main"
        assert page.locator("#view-places").is_visible()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className").startswith("mosaic")


def test_by_keyboard_to_a_place_and_back(browser, served):
    with page_at(browser, served.told.url) as page:
        page.route("**/similar?*", lambda asked: asked.continue_(url=asked.request.url.replace("limit=48", "limit=3")))
        tab_to(page, "shot")
        page.keyboard.press("Enter")
        found(page)
        tab_to(page, "radius")
        for _ in range(16):
            page.keyboard.press("ArrowRight")
        radius = page.locator("#radius").input_value()
        assert page.locator("#grid .card").count() == 3
        tab_to(page, "more")
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.activeElement === document.querySelectorAll('#grid .shot')[3]")
        placed = page.locator("#grid .card:has(.meta a)").last
        name = placed.locator(".name").inner_text()
        for _ in range(60):
            if placed.evaluate("card => card.contains(document.activeElement)"):
                break
            back = placed.evaluate("card => document.activeElement.closest('li').compareDocumentPosition(card) & 2")
            page.keyboard.press("ArrowLeft" if back else "ArrowRight")
        place = placed.locator(".meta a").inner_text()
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUS) == {"what": place, "body": False, "visible": True}
        count = page.locator("#grid .card").count()
        page.keyboard.press("Enter")
        page.wait_for_function("place => document.getElementById('place-title').textContent === place", arg=place)
        page.wait_for_selector("#place-grid .shot")
        tab_to(page, "shot")
        page.keyboard.press("Enter")
        page.wait_for_selector("#viewer[open]")
        page.keyboard.press("Escape")
        page.go_back()
        page.wait_for_selector("#grid .shot")
        assert page.evaluate(FOCUS)["what"] == place  # where one was, with all that was shown
        assert page.locator("#grid .card:has(:focus) .name").inner_text() == name
        assert page.locator("#radius").input_value() == radius
        assert page.locator("#grid .card").count() == count > 3


def test_trouble_with_the_index_or_the_server_is_shown_and_goes_away(browser, start, monkeypatch):
    monkeypatch.setattr("hashpipe.hashing.serve.collection._LOOK_EVERY", 0.0)
    look = "document.dispatchEvent(new Event('visibilitychange'))"
    with start() as served, page_at(browser, served.told.url) as page:
        trouble, index = page.locator("#trouble"), served.workspace / "index" / "index.json"
        assert trouble.is_hidden()
        good = index.read_text()
        index.write_text("{}")
        page.evaluate(look)
        trouble.wait_for()
        assert "tried again" in trouble.inner_text()
        choose(page, served.photos / "004.png")  # the old one is still good
        index.write_text(good)
        page.evaluate(look)
        trouble.wait_for(state="hidden")
        page.route("**/api/health*", lambda asked: asked.abort())
        page.evaluate(look)
        trouble.wait_for()
        assert "does not answer" in trouble.inner_text()


@pytest.mark.slow
def test_pasted_photos(browser, served):
    with page_at(browser, served.told.url) as page:
        give(page, "paste", (served.photos / "008.png").read_bytes())
        found(page)
        assert cards(page)[0] == "008.png"


def test_files_that_cannot_be_searched_with(browser, start):
    with start(upload_mb=1) as served, page_at(browser, served.told.url) as page:
        problem = page.locator("#problem")
        for content, words in (
            (b"no photo at all", "not a photo"),
            (jpeg((400, 300), quality=95)[:9000], "truncated"),
            (bomb(60_000, 60_000), "pixels"),
            (bytes(1_200_000), "at most 1 MB"),
        ):
            give(page, "drop", content, "../../x.png")
            page.wait_for_function("words => document.getElementById('problem').textContent.includes(words)", arg=words)
            assert problem.get_attribute("role") == "alert"
            assert problem.is_visible()
            assert page.locator("#asked").is_hidden()
        give(page, "drop", (served.photos / "001.png").read_bytes())
        found(page)
        assert problem.is_hidden()


@pytest.mark.slow
def test_photos_that_are_gone_leave_a_sentence(browser, start):
    with start() as served:
        (served.photos / "005.png").unlink()
        with page_at(browser, served.told.url) as page:
            page.goto(f"{served.told.url}#/places/1")
            missing = page.locator("#place-grid .missing")
            missing.wait_for()
            assert missing.inner_text() == "The photo has been deleted or moved since it was encoded"
            page.locator('#place-grid .shot[data-photo="15"]').click()
            page.locator("#viewer-picture .missing").wait_for()
            assert "index remove --missing" in page.locator("#viewer-picture .missing").inner_text()


@pytest.mark.slow
def test_an_index_that_changes_under_an_open_page(browser, start, model, monkeypatch):
    monkeypatch.setattr("hashpipe.hashing.serve.collection._LOOK_EVERY", 0.0)
    with start() as served, page_at(browser, served.told.url) as page:
        assert page.locator("#counts").inner_text() == "12 photos · 2 places"
        names = [f"{number:03d}.png" for number in range(12) if number not in (2, 11)]
        write_codes(served.workspace / "codes.parquet", encoded(served.photos, names, model))
        build_index([], served.workspace, IndexOptions())
        choose(page, served.photos / "004.png")
        page.locator("#notice").wait_for()
        assert "10 photos now" in page.locator("#notice").inner_text()
        page.get_by_role("button", name="Show it as it is now").click()
        found(page)
        assert page.locator("#notice").is_hidden()


@pytest.mark.slow
def test_a_busy_server_is_asked_again(browser, start):
    with start(queue=1, workers=1) as served, page_at(browser, served.told.url) as page:
        address = (served.told.host, served.told.port)
        with socket.create_connection(address) as slow:  # somebody else's upload that does not end
            head = f"POST /api/search HTTP/1.1\r\nHost: {served.told.host}:{served.told.port}\r\n"
            slow.sendall(
                f"{head}Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000\r\n\r\n--x".encode()
            )
            page.set_input_files("#file", str(served.photos / "004.png"))
            page.wait_for_function(
                "() => document.getElementById('results-lead').textContent.includes('waits its turn')"
            )
        found(page)
        assert cards(page)[0] == "004.png"


@pytest.mark.slow
def test_a_server_that_was_stopped(browser, start):
    with start() as served:
        context = browser.new_context()
        page = context.new_page()
        page.goto(served.told.url)
        page.wait_for_selector("#grid .shot")
    page.get_by_role("link", name="Places").click()
    page.wait_for_selector("#places-state:not([hidden])")
    assert "does not answer" in page.locator("#places-state").inner_text()
    assert page.get_by_role("button", name="Try again").is_visible()
    context.close()


@pytest.mark.slow
def test_readable_on_a_phone_and_in_the_dark(browser, served):
    def long_names(asked) -> None:
        answer = asked.fetch()
        asked.fulfill(response=answer, body=answer.text().replace('.png"', f'{"_long" * 40}.png"'))

    with page_at(browser, served.told.url, **PHONE) as page:
        page.route("**/api/*", long_names)
        page.route("**/api/*/*", long_names)
        page.route("**/similar*", long_names)
        for view in ("", "#/places", "#/places/0", "#/similar/14"):
            page.goto(served.told.url + view)
            page.wait_for_selector(".shot:visible, .mosaic:visible")
            assert page.evaluate("document.scrollingElement.scrollWidth <= window.innerWidth"), view
        assert "_long_long" in page.locator("#asked-name").inner_text()
        page.locator("#radius").fill(page.locator("#radius").get_attribute("max"))
        page.locator("#grid .shot").first.click()
        page.wait_for_function("() => document.getElementById('viewer-title').textContent.includes('_long')")
        assert page.evaluate("document.getElementById('viewer').scrollWidth <= window.innerWidth")
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    with page_at(browser, served.told.url, color_scheme="dark") as page:
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


@pytest.mark.slow
def test_everything_has_a_name(browser, served):
    unnamed = """() => [...document.querySelectorAll('img:not([alt])')].length
        + [...document.querySelectorAll('button, a, input, canvas')].filter((one) => one.checkVisibility()
            && !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length)).length"""
    with page_at(browser, served.told.url) as page:
        for view in ("#/similar/14", "#/places", "#/places/0"):
            page.goto(served.told.url + view)
            page.wait_for_selector(".shot:visible, .mosaic:visible")
            assert page.evaluate(unnamed) == 0, view
        label = page.locator("#place-grid .shot").first.get_attribute("aria-label")
        assert label == "000.png, place 0"


@pytest.mark.slow
def test_the_documentation_of_the_api(browser, served):
    with page_at(browser, served.told.url) as page:
        page.goto(f"{served.told.url}docs")
        page.wait_for_selector(".route")
        routes = page.locator(".route summary code").all_inner_texts()
        assert "/api/photos/{photo}/similar" in routes
        page.locator(".route summary").first.click()
        assert "curl -F photo=@" in page.locator(".route").first.inner_text()


@pytest.mark.slow
def test_groups(browser, start):
    with start() as served:
        kept = [
            {"photo": 10 + row, "path": str(served.photos / f"{row:03d}.png"), "distance": row, "best": row == 3}
            for row in (3, 4, 5)
        ]
        groups = {
            "rules": {"radius": 3},
            "notes": [],
            "groups": [{"kind": "near", "group": 1, "why_best": "largest", "photos": kept}],
        }
        (served.workspace / "groups").mkdir()
        (served.workspace / "groups" / "groups.json").write_text(json.dumps(groups))
        answer = served.client.get("/api/groups").json()
        assert (answer["kind"], answer["kinds"]["near"], answer["groups"][0]["total"]) == ("near", 1, 3)
        with page_at(browser, served.told.url) as page:
            page.get_by_role("link", name="Groups").click()
            page.wait_for_selector("#groups-list .shot")
            assert page.locator("#groups-list .best .name").all_inner_texts() == ["003.png"]
            page.get_by_role("button", name="Bursts (0)").click()
            page.wait_for_selector("#groups-state:not([hidden])")


def test_a_group_of_thousands_does_not_hold_the_page_up(browser, tmp_path, model):
    space = open_encoder(model).space
    names = tuple(f"{row:04d}.jpg" for row in range(5000))
    shas = tuple(f"{row:064x}" for row in range(5000))
    codes = np.random.default_rng(0).integers(0, 256, (5000, space.width), dtype=np.uint8)
    workspace = workspace_with(tmp_path / "ws", model)
    codeset = CodeSet(space, np.arange(5000, dtype=np.int32), names, shas, codes, np.ones(5000, np.float32), "/photos")
    write_codes(workspace / "codes.parquet", codeset)
    build_index([], workspace, IndexOptions())
    photos = [{"path": f"/photos/{name}", "distance": 1} for name in names]
    group = {"kind": "near", "group": 1, "why_best": "largest", "photos": photos}
    (workspace / "groups").mkdir()
    (workspace / "groups" / "groups.json").write_text(json.dumps({"rules": {}, "notes": [], "groups": [group]}))
    with listening(workspace, ServeOptions(port=0)) as told, page_at(browser, told.url) as page:
        page.goto(f"{told.url}#/groups")
        page.wait_for_selector("#groups-list .shot")
        assert page.locator("#groups-list h2").inner_text() == "5,000 photos"
        assert page.locator("#groups-list .shot").count() == 12
        for _ in range(8):
            before = page.locator("#groups-list .shot").count()
            page.get_by_role("button", name="Show more of this group").click()
            page.wait_for_function(
                "count => document.activeElement === document.querySelectorAll('#groups-list .shot')[count]", arg=before
            )
        assert page.locator("#groups-list .shot").count() == 12 + 8 * 100
        took = page.evaluate("""async () => {
            const began = performance.now();
            for (const key of ["End", "Home", "ArrowRight", "ArrowDown"])
                document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
            await new Promise(requestAnimationFrame);
            return performance.now() - began;
        }""")
        assert took < 2000  # milliseconds, on a machine that is busy with other things


def test_a_place_that_is_not_there_is_said_once(browser, served):
    with page_at(browser, f"{served.told.url}") as page:
        page.goto(f"{served.told.url}#/places/99")
        page.wait_for_selector("#place-state:not([hidden])")
        page.wait_for_load_state("networkidle")
        assert page.locator("main").inner_text().count("There is no place 99") == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_that_of_wcag_aa(browser, served, scheme):
    """Every text on what lies behind it, as the style sheet pairs them."""
    pairs = [
        (text, ground) for ground in ("paper", "card", "sunk", "wash") for text in ("ink", "soft")
    ] + [("blue", "paper"), ("blue", "card"), ("on-blue", "blue"), ("bad", "bad-wash"), ("bad", "paper")]  # fmt: skip
    with page_at(browser, served.told.url, color_scheme=scheme) as page:
        luminance = page.evaluate("""() => {
            const probe = document.body.appendChild(document.createElement('i')), found = {};
            for (const name of ['paper', 'card', 'sunk', 'wash', 'ink', 'soft', 'blue', 'on-blue', 'bad', 'bad-wash']) {
                probe.style.color = `var(--${name})`;
                const [r, g, b] = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map((one) => {
                    const value = one / 255;
                    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
                });
                found[name] = 0.2126 * r + 0.7152 * g + 0.0722 * b;
            }
            return found;
        }""")
    assert luminance["ink"] != luminance["paper"]
    for text, ground in pairs:
        low, high = sorted([luminance[text], luminance[ground]])
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


@pytest.mark.skipif("HASHPIPE_SCREENSHOTS" not in os.environ, reason="HASHPIPE_SCREENSHOTS=DEMO/workspace draws them")
def test_screenshots(browser):
    """Draw docs/images/serve-*.jpg from the workspace of `hashpipe demo`, encoded and indexed: rendered photos only."""
    from served import client

    images = Path(__file__).resolve().parents[3] / "docs" / "images"
    workspace = Path(os.environ["HASHPIPE_SCREENSHOTS"])
    assert (workspace.parent / "truth.json").exists(), "not the workspace of a demo"
    with listening(workspace, ServeOptions(port=0)) as told, client(told.url) as asking:
        place = asking.get("/api/places/0").json()["photos"]
        photo = next(workspace.parent.glob(f"photos/**/{Path(place[0]['name']).name}"))
        wide, phone = {"viewport": {"width": 1280, "height": 860}}, {**PHONE, "device_scale_factor": 2}
        for name, how in (("search", wide), ("search-dark", {**wide, "color_scheme": "dark"}), ("phone", phone)):
            with page_at(browser, told.url, **how) as page:
                choose(page, photo)
                _settled(page)
                page.screenshot(path=images / f"serve-{name}.jpg", type="jpeg", quality=85)
        with page_at(browser, told.url, **wide) as page:
            page.goto(f"{told.url}#/places/0")
            page.wait_for_selector("#cloud:not([hidden])")
            _settled(page)
            page.screenshot(path=images / "serve-place.jpg", type="jpeg", quality=85)


def _settled(page) -> None:
    page.wait_for_function(
        "() => [...document.querySelectorAll('.shot img')].filter((one) => one.checkVisibility()"
        " && one.getBoundingClientRect().top < innerHeight).every((one) => one.classList.contains('there'))"
    )
    page.wait_for_timeout(600)  # transitions
