"""The API as a program uses it, against a real server."""

from __future__ import annotations

import io
import re
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from served import COUNT, Served, encoded, jpeg, write_model

from hashpipe.common.hamming import hamming
from hashpipe.hashing.codes.codes_file import CodeSpace, read_codes, write_codes
from hashpipe.hashing.search.index_commands import build_index
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.hashing.serve.description import code_pattern
from hashpipe.hashing.serve.places import Places


def slow_search(served: Served, code: np.ndarray) -> list[tuple[int, int]]:
    """(photo, distance) of all photos, by distance, then by row."""
    codes = read_codes(served.workspace / "codes.parquet")
    distances = hamming(code, codes.codes)
    return [(int(codes.photos[row]), int(distances[row])) for row in np.argsort(distances, kind="stable")]


def listed(answer: dict) -> list[tuple[int, int]]:
    return [(hit["photo"], hit["distance"]) for hit in answer["results"]]


def test_info_and_health(served):
    info = served.client.get("/api/info").json()
    assert (info["photos"], info["places"], info["bits"], info["groups"]) == (COUNT, 2, 16, False)
    assert info["revision"] == served.client.get("/api/health").json()["revision"] == served.told.revision
    assert info["radius"] is None


def test_a_photo_of_the_collection_finds_itself(served):
    content = (served.photos / "004.png").read_bytes()
    answer = served.search(content, limit=100).json()
    code = np.frombuffer(bytes.fromhex(answer["query"]["code"]), np.uint8)
    assert listed(answer)[0] == (14, 0)
    assert listed(answer) == slow_search(served, code)
    assert answer["next"] is None
    by_code = served.client.get("/api/search", params={"code": answer["query"]["code"], "limit": 100}).json()
    assert listed(by_code) == listed(answer)


def test_the_very_photo_comes_first_among_equal_codes_also_over_pages(start):
    """With codes that another runtime may have made: the upload's own code is not the one in the index."""
    with start() as served:
        codeset = read_codes(served.workspace / "codes.parquet")
        codes = np.repeat(codeset.codes[:1] ^ 5, COUNT, axis=0)
        write_codes(served.workspace / "codes.parquet", replace(codeset, codes=codes))
        build_index([], served.workspace, IndexOptions())
        time.sleep(1.1)  # the server looks for a changed index once in a second
        answer = served.search((served.photos / "007.png").read_bytes(), limit=2).json()
        assert listed(answer)[0] == (17, 0)
        assert answer["query"]["same"] == 17
        found = listed(answer)
        while answer["next"] is not None:
            key = {"code": answer["query"]["code"], "same": 17, "limit": 2, "offset": answer["next"]}
            answer = served.client.get("/api/search", params=key).json()
            found += listed(answer)
        assert found == [(photo, 0) for photo in (17, *(other for other in range(10, 22) if other != 17))]
        assert served.search(jpeg(), limit=2).json()["query"]["same"] is None


def test_search_by_photo_leaves_it_out(served):
    codes = read_codes(served.workspace / "codes.parquet")
    answer = served.client.get("/api/photos/15/similar", params={"counts": True, "limit": 50}).json()
    wanted = [pair for pair in slow_search(served, codes.codes[5]) if pair[0] != 15]
    assert listed(answer) == wanted
    assert answer["query"]["name"] == "005.png"
    assert answer["query"]["place"] == 1
    assert answer["within"] == [sum(distance <= r for _, distance in wanted) for r in range(17)]


@pytest.mark.parametrize("radius", [0, 5, 8, 16])
def test_radius_and_pages_together_are_the_whole_list(served, radius):
    whole = served.client.get("/api/photos/10/similar", params={"limit": 100, "radius": radius}).json()
    everything = served.client.get("/api/photos/10/similar", params={"limit": 100}).json()
    assert listed(whole) == [pair for pair in listed(everything) if pair[1] <= radius]
    pages, offset = [], 0
    while offset is not None:
        page = served.client.get(
            "/api/photos/10/similar", params={"limit": 2, "offset": offset, "radius": radius}
        ).json()
        assert len(page["results"]) <= 2
        pages += listed(page)
        offset = page["next"]
    assert pages == listed(whole)


def test_photos_are_paged(served):
    first = served.client.get("/api/photos", params={"limit": 5}).json()
    assert (first["total"], first["next"], len(first["photos"])) == (COUNT, 5, 5)
    last = served.client.get("/api/photos", params={"limit": 5, "offset": 10}).json()
    assert (last["next"], [one["photo"] for one in last["photos"]]) == (None, [20, 21])
    assert served.client.get("/api/photos", params={"offset": 99}).json()["photos"] == []
    assert served.client.get("/api/photos", params={"limit": 101}).status_code == 422


def test_facts_of_a_photo_with_an_odd_name(served):
    facts = served.client.get("/api/photos/12").json()
    assert facts["name"] == "sub folder/фото <b>1.png"
    assert (facts["place"], facts["problem"], facts["taken_at"]) == (0, None, "2024-05-01T12:00:00")
    assert str(served.photos) not in served.client.get("/api/photos/12").text
    assert "47.1" not in served.client.get("/api/photos/12").text  # where photos were taken is nobody's business


def test_thumbnails_are_small_upright_and_kept(served):
    answer = served.client.get("/api/photos/11/thumbnail")
    picture = Image.open(io.BytesIO(answer.content))
    assert (answer.headers["content-type"], picture.format, picture.size) == ("image/jpeg", "JPEG", (90, 120))
    kept = list((served.workspace / "thumbnails").rglob("*.jpg"))
    assert answer.content in [path.read_bytes() for path in kept]
    again = served.client.get("/api/photos/11/thumbnail", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_places_and_their_photos(served):
    places = served.client.get("/api/places").json()
    assert [(one["place"], one["photos"], one["models"]) for one in places["places"]] == [(0, 4, [0]), (1, 3, [])]
    page = served.client.get("/api/places/0", params={"limit": 3}).json()
    assert ([one["photo"] for one in page["photos"]], page["next"], page["total"]) == ([10, 11, 12], 3, 4)
    assert served.client.get("/api/places/7").status_code == 404


def test_a_place_from_above(served):
    cloud = served.client.get("/api/places/0/cloud").json()
    assert (cloud["total"], len(cloud["x"])) == (300, 300)
    assert set(cloud["rgb"]) == {200 * 65536 + 100 * 256 + 50}
    assert [camera["photo"] for camera in cloud["cameras"]] == [10, 11, 12, 13]
    assert all(camera["looks"] == [0, 1] for camera in cloud["cameras"])  # towards the wall, drawn upwards
    xs = [camera["at"][0] for camera in cloud["cameras"]]
    assert xs == sorted(xs)  # COLMAP's x is to the right of cameras that look up
    assert max(camera["at"][1] for camera in cloud["cameras"]) < min(cloud["y"])  # the wall is in front of them
    assert np.ptp(cloud["y"]) <= 2
    assert max(cloud["z"]) > 500  # its height: 4 of 10 units, of which 10 are 2000
    nothing = served.client.get("/api/places/1/cloud")
    assert (nothing.status_code, nothing.json()["detail"]) == (404, "Place 1 has no 3D model.")


def test_a_place_from_above_is_computed_once_for_each_version_of_it(start, monkeypatch):
    computed = []
    view = Places.view
    monkeypatch.setattr(Places, "view", lambda places, model: [computed.append(model), view(places, model)][1])
    monkeypatch.setattr("hashpipe.hashing.serve.collection._LOOK_EVERY", 0.0)
    with start() as served:
        first = served.client.get("/api/places/0/cloud")
        again = served.client.get("/api/places/0/cloud", params={"model": 0})
        assert (again.content, again.headers["etag"], computed) == (first.content, first.headers["etag"], [0])
        known = {"If-None-Match": first.headers["etag"]}
        unchanged = served.client.get("/api/places/0/cloud", headers=known)
        assert (unchanged.status_code, unchanged.content, computed) == (304, b"", [0])
        write_model(served.workspace / "pairs" / "models" / "0", ["000.png"], points=20)
        changed = served.client.get("/api/places/0/cloud", headers=known)
        assert (changed.status_code, changed.json()["total"], computed) == (200, 20, [0, 0])
        cameras = changed.json()["cameras"]
        assert [camera["photo"] for camera in cameras] == [10]
        names = [f"{number:03d}.png" for number in (1, 3, 4)]  # the photo leaves the index: another answer
        write_codes(served.workspace / "codes.parquet", encoded(served.photos, names, served.workspace / "model"))
        build_index([], served.workspace, IndexOptions())
        left = served.client.get("/api/places/0/cloud", headers={"If-None-Match": changed.headers["etag"]})
        assert (left.status_code, left.json()["cameras"][0]["photo"]) == (200, None)


def test_everything_is_documented(served):
    openapi = served.client.get("/openapi.json").json()
    assert {"/api/search", "/api/photos/{photo}/similar", "/api/places/{place}/cloud", "/api/groups"} <= set(
        openapi["paths"]
    )
    for path, methods in openapi["paths"].items():
        for method, route in methods.items():
            assert route.get("summary"), f"{method} {path}"
            for status, answer in route["responses"].items():  # one sentence, of the framework too
                if int(status) >= 400:
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Problem"}, f"{method} {path} {status}"
    assert "within" in openapi["components"]["schemas"]["SearchAnswer"]["properties"]


def test_what_comes_is_what_is_described(served):
    """A generated client takes an answer of another type for an error."""
    openapi = served.client.get("/openapi.json").json()
    asked = {"photo": 10, "place": 0, "kind": "place", "group": 1}
    for path, methods in openapi["paths"].items():
        described = methods.get("get", {}).get("responses", {}).get("200", {}).get("content")
        if described is None or "group" in path or path == "/api/search":
            continue
        answer = served.client.get(path.format(**asked))
        assert answer.status_code == 200, path
        assert [answer.headers["content-type"].partition(";")[0]] == list(described), path
        if "etag" in answer.headers:
            again = served.client.get(path.format(**asked), headers={"If-None-Match": answer.headers["etag"]})
            assert str(again.status_code) in methods["get"]["responses"], path
    picture = openapi["paths"]["/api/photos/{photo}/thumbnail"]["get"]["responses"]["200"]["content"]
    assert picture == {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}


def test_refusals_of_every_route_are_described(served):
    openapi = served.client.get("/openapi.json").json()
    for path, methods in openapi["paths"].items():
        for method, route in methods.items():
            assert {"403", "413", "421", "422", "503"} <= set(route["responses"]), f"{method} {path}"


def test_a_refused_method_is_told_all_that_are_served(served):
    for path in ("/", "/docs", "/openapi.json", "/page/main.js", "/api/info", "/api/photos/10", "/api/search"):
        answer = served.client.delete(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST" if "search" in path else "GET")


def test_the_schema_takes_codes_of_the_index_and_no_others(served, start):
    def schema(server) -> dict:
        openapi = server.client.get("/openapi.json").json()
        parameters = openapi["paths"]["/api/search"]["get"]["parameters"]
        return next(one["schema"] for one in parameters if one["name"] == "code")

    found = schema(served)
    assert (found["minLength"], found["maxLength"]) == (4, 4)
    for code, valid in (("00fF", True), ("0f", False), ("000000", False), ("00g0", False)):
        answer = served.client.get("/api/search", params={"code": code})
        assert (re.search(found["pattern"], code) is not None) == valid == (answer.status_code == 200), code
    with start() as other:
        assert schema(other)["maxLength"] == 4
        longer = read_codes(other.workspace / "codes.parquet")
        space = CodeSpace(longer.space.model, 20, np.zeros(20, np.float32))
        codes = np.zeros((len(longer), 3), np.uint8)
        write_codes(other.workspace / "codes.parquet", replace(longer, space=space, codes=codes))
        build_index([], other.workspace, IndexOptions())
        time.sleep(1.1)  # the server looks for a changed index once in a second
        assert (schema(other)["minLength"], schema(other)["maxLength"]) == (6, 6)


@pytest.mark.parametrize("bits", [1, 4, 5, 8, 12, 13, 16, 20])
def test_the_pattern_of_codes_against_the_definition(bits):
    pattern, width = re.compile(code_pattern(bits)), -(-bits // 8)
    generator = np.random.default_rng(bits)
    for value in (*generator.integers(0, 256, (300, width), dtype=np.uint8), np.zeros(width, np.uint8)):
        fits = not np.unpackbits(value, bitorder="little")[bits:].any()
        assert (pattern.search(value.tobytes().hex()) is not None) == fits
        assert (pattern.search(value.tobytes().hex().upper()) is not None) == fits
    assert not pattern.search("00" * (width + 1))
    assert not pattern.search("0" * (2 * width - 1))


def test_page_needs_nothing_from_elsewhere(served):
    names = ["", "docs", *(f"page/{name}" for name in ("style.css", "docs.css", "main.js", "search.js", "icon.svg"))]
    for name in names:
        answer = served.client.get(f"/{name}")
        assert answer.status_code == 200, name
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        elsewhere = answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in elsewhere, name
        assert "https://" not in elsewhere, name
