"""Groups: each kind against a slow obvious version, on files as they lie on disks, and what is written about them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace, sha256_file
from hashpipe.common.hamming import hamming
from hashpipe.hashing.calibration.calibration import Calibration
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, read_codes, write_codes
from hashpipe.hashing.duplicates.appearance import sharpness
from hashpipe.hashing.duplicates.cluster import Near, star_groups
from hashpipe.hashing.duplicates.copy_match import features, one_shot
from hashpipe.hashing.duplicates.groups import find_groups, groups
from hashpipe.hashing.duplicates.metadata import Header, Metadata, gather, read_header
from hashpipe.hashing.duplicates.options import GroupsOptions
from hashpipe.hashing.duplicates.rules import KINDS, Rules, all_groups
from hashpipe.hashing.features import descriptor_cache
from hashpipe.pairgen.pairs.pairset import PairSet

BITS = 32


def clustered(count: int, seed: int, noise: float = 0.05) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.random((max(1, count // 6), BITS)) < 0.5
    flags = centres[rng.integers(len(centres), size=count)] ^ (rng.random((count, BITS)) < noise)
    return np.packbits(flags, axis=1, bitorder="little").reshape(count, BITS // 8)


def make(
    codes: np.ndarray, paths: list[str] | None = None, root: Path | str = "", sha: list[str] | None = None
) -> CodeSet:
    count = len(codes)
    names = paths or [f"{row}.jpg" for row in range(count)]
    hashes = sha or [f"{row:064x}" for row in range(count)]
    space = CodeSpace("0123456789abcdef", 8 * codes.shape[1], np.zeros(8 * codes.shape[1], np.float32))
    ids, quality = np.arange(count, dtype=np.int32) + 100, np.ones(count, np.float32)
    return CodeSet(space, ids, tuple(names), tuple(hashes), codes, quality, str(root))


def slow_stars(near: np.ndarray) -> np.ndarray:
    """near bool (N,N). Take photos by falling number of neighbours, then by row."""
    count = len(near)
    centre = [-1] * count
    for row in sorted(range(count), key=lambda row: (-sum(near[row]), row)):
        if centre[row] < 0:
            centre[row] = row
            for other in range(count):
                if near[row][other] and centre[other] < 0:
                    centre[other] = row
    return np.array(centre, np.int64)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 90])
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_stars_against_the_obvious_loop(count, block):
    codes = clustered(count, count)
    near = np.array(
        [[a != b and hamming(codes[a], codes[b : b + 1])[0] <= 4 for b in range(count)] for a in range(count)]
    )
    found = star_groups(Near(codes, 4), count, block)
    np.testing.assert_array_equal(found, slow_stars(near.reshape(count, count)))


def test_a_chain_is_not_one_group():
    """32 photos, each one bit from the next, the ends 31 bits apart."""
    codes = np.packbits(np.tri(32, 32, -1, dtype=bool), axis=1, bitorder="little")
    for radius in (1, 2, 5):
        centre = star_groups(Near(codes, radius), 32, 8)
        distance = [int(hamming(codes[a], codes[b : b + 1])[0]) for a, b in enumerate(centre)]
        assert max(distance) <= radius
        assert len(set(centre.tolist())) >= 32 / (2 * radius + 1)


def random_metadata(count: int, seed: int, pairs: int) -> Metadata:
    rng = np.random.default_rng(seed)
    taken = rng.integers(0, 40, count).astype(float)
    exact = rng.random(count) < 0.3
    taken[exact] += 0.5
    taken[rng.random(count) < 0.3] = np.nan
    ends = np.unique(np.sort(rng.integers(0, max(1, count), (pairs, 2)), axis=1), axis=0)
    ends = ends[ends[:, 0] < ends[:, 1]]
    half = rng.random(len(ends)) < 0.5
    size = rng.integers(100, 104, (count, 2)).astype(np.int32)
    camera, place = rng.integers(0, 2, count).astype(np.int32), rng.integers(-1, 2, count).astype(np.int32)
    pixels = size.astype(np.int64).prod(axis=1)
    related = np.array([[0, 1]] if seed % 4 == 0 else [], np.int64).reshape(-1, 2)
    weight = rng.integers(1000, 1003, count)
    return Metadata(taken, exact, camera, pixels, size, weight, place, ends[half], ends[~half], related)


def slow_groups(codeset: CodeSet, metadata: Metadata, rules: Rules, same) -> dict[str, list[set[int]]]:
    """All kinds by double loops over all photos; which photo is best is taken from the result under test."""
    count = len(codeset)
    stands, place = list(range(count)), metadata.place.tolist()
    found: dict[str, list[set[int]]] = {}
    distance = [
        [int(hamming(codeset.codes[a], codeset.codes[b : b + 1])[0]) for b in range(count)] for a in range(count)
    ]
    order = sorted(
        np.flatnonzero(~np.isnan(metadata.taken)), key=lambda row: (metadata.camera[row], metadata.taken[row])
    )

    def pause(a: int, b: int) -> float:
        """Longest pause between two photos of one camera along its photos that are left; infinite across cameras."""
        rows = [row for row in order if stands[row] == row]
        if metadata.camera[a] != metadata.camera[b] or a not in rows or b not in rows:
            return float("inf")
        first, last = sorted((rows.index(a), rows.index(b)))
        return max(np.diff([metadata.taken[row] for row in rows[first : last + 1]]), default=0.0)

    def linked(kind: str, a: int, b: int) -> bool:
        if kind == "exact":
            return codeset.sha256[a] == codeset.sha256[b]
        if kind == "near":
            limit = 0.05 if metadata.exact[a] and metadata.exact[b] else 0.999
            fits = not abs(metadata.taken[a] - metadata.taken[b]) > limit
            near = distance[a][b] <= rules.near_radius
            if rules.hashes is not None and rules.hashed[a] and rules.hashed[b]:
                near |= hamming(rules.hashes[a], rules.hashes[b : b + 1])[0] <= 10
            return fits and near and (same is None or bool(same(np.array([a]), np.array([b]))[0]))
        if kind == "burst":
            return distance[a][b] <= rules.radius and pause(a, b) <= rules.burst_seconds
        by_3d = [
            {(stands[x], stands[y]) for x, y in pairs.tolist()} for pairs in (metadata.similar, metadata.dissimilar)
        ]
        similar, dissimilar = ((a, b) in pairs or (b, a) in pairs for pairs in by_3d)
        apart = place[a] >= 0 and place[b] >= 0 and place[a] != place[b] and not len(metadata.related)
        return similar or (distance[a][b] <= rules.radius and not apart and not dissimilar)

    for kind in KINDS:
        left = [row for row in range(count) if stands[row] == row and (kind != "place" or rules.usable[row])]
        near = np.array([[a != b and linked(kind, a, b) for b in left] for a in left]).reshape(len(left), len(left))
        centre = slow_stars(near)
        parts = [[left[at] for at in np.flatnonzero(centre == one)] for one in sorted(set(centre.tolist()))]
        parts = [part for part in parts if len(part) > 1]
        found[kind] = [set(part) for part in parts]
        for part in parts:
            best = yield kind, part
            known = [place[row] for row in part if place[row] >= 0]
            for row in part:
                stands[row] = best
            if place[best] < 0 and known:
                place[best] = known[0]
        stands = [stands[stands[row]] for row in range(count)]
    return found


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("looked", [False, True])
def test_all_kinds_against_double_loops(seed, looked):
    count = 70
    codeset = make(clustered(count, seed), sha=[f"{row % 61:064x}" for row in range(count)])
    metadata = random_metadata(count, seed, 60)
    usable = np.random.default_rng(seed).random(count) < 0.9
    rules = Rules(5, 1, 3.0, usable)
    if looked:
        rules = replace(rules, hashes=np.tile(clustered(count, seed + 50, 0.1), 2), hashed=usable[::-1])
    same = (lambda a, b: (a + b) % 3 != 0) if looked else None
    found = all_groups(codeset, metadata, rules, None, same)
    by_members = {(one.kind, frozenset(one.rows)): one for one in found}
    slow = slow_groups(codeset, metadata, rules, same)
    total, answer = 0, None
    try:
        while True:
            kind, part = slow.send(answer)
            assert (kind, frozenset(part)) in by_members, (kind, part)
            answer, total = by_members[kind, frozenset(part)].rows[0], total + 1
    except StopIteration:
        pass
    assert total == len(found)
    assert {one.kind for one in found} == set(KINDS)


def test_members_are_near_their_centre_and_in_one_group_of_a_kind():
    count = 400
    codeset = make(clustered(count, 3, 0.08))
    found = all_groups(codeset, random_metadata(count, 3, 0), Rules(6, 2, 3.0, np.ones(count, bool)), None, None)
    for kind in KINDS:
        rows = [row for one in found if one.kind == kind for row in one.rows]
        assert len(rows) == len(set(rows))
    for one in found:
        assert one.centre in one.rows
        distance = hamming(codeset.codes[one.centre], codeset.codes[list(one.rows)]).tolist()
        assert list(one.distance) == distance
        assert max(distance) <= (2 if one.kind == "near" else 6)


def test_geometry_is_known_by_content():
    """A PairSet of other ids: photo 0 is row 2, photo 1 its exact copy without a place, photo 3 is in no codes file."""
    codeset = make(np.array([[0] * 4, [255] * 4, [0] * 4, [255] * 4], np.uint8))
    sha = [codeset.sha256[2], codeset.sha256[2], codeset.sha256[1], "f" * 64, codeset.sha256[0], None]
    photos = pa.table({"sha256": sha, "place": pa.array([4, -1, 4, 5, 6, -1], pa.int32())})
    pairs = pa.table({"a": [0, 0, 0, 2], "b": [2, 3, 4, 4], "label": [1, 1, -1, -1]})
    relations = {"place_a": [6, 4], "place_b": [4, 5], "relation": ["may_be_same", "look_alike"]}
    pairset = PairSet(Path(), {"fingerprint": "x"}, photos, pairs, pa.table(relations))
    metadata = gather(codeset, pairset, 1)
    assert metadata.place.tolist() == [6, 4, 4, -1]
    assert metadata.similar.tolist() == [[1, 2]]
    assert metadata.dissimilar.tolist() == [[0, 2], [0, 1]]
    assert metadata.related.tolist() == [[4, 6]]
    found = find_groups(codeset, GroupsOptions(radius=0, look="off"), pairset)
    # rows 1 and 2 by 3D although all bits differ; 0 and 2 have equal codes, but 3D says they are dissimilar
    assert sorted(sorted(one.rows) for one in found.groups) == [[1, 2, 3]]


def picture(seed: int, size: tuple[int, int] = (480, 360)) -> Image.Image:
    """Boxes and lines of all sizes: something to find features on."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, tuple(rng.integers(60, 200, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(160):
        x, y = rng.integers(0, size[0]), rng.integers(0, size[1])
        w, h = rng.integers(4, 70, 2)
        draw.rectangle([int(x), int(y), int(x + w), int(y + h)], fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image.filter(ImageFilter.GaussianBlur(0.7))


def save(folder: Path, name: str, image: Image.Image, taken: str | None = None, subsec: str = "", **more) -> None:
    exif = Image.Exif()
    if taken:
        details = exif.get_ifd(0x8769)
        details[36867] = f"2024:05:17 12:00:{taken}"
        if subsec:
            details[37521] = subsec
        exif[272] = "Camera"
    image.save(folder / name, quality=more.pop("quality", 92), exif=exif, **more)


def encoded(folder: Path, near: dict[str, int] | None = None) -> CodeSet:
    """Codes by hand: files of one first letter get one code, `near` turns some of their bits."""
    names = sorted(path.name for path in folder.iterdir())
    codes = []
    for name in names:
        flags = np.random.default_rng(ord(name[0])).random(BITS) < 0.5
        flags[: (near or {}).get(name, 0)] ^= True
        codes.append(np.packbits(flags, bitorder="little"))
    hashes = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names]
    return make(np.stack(codes), names, folder, hashes)


def by_name(codeset: CodeSet, found, kind: str) -> list[list[str]]:
    return [[codeset.paths[row] for row in one.rows] for one in found.of(kind)]


@pytest.fixture
def folder(tmp_path):
    """a: one shot in many files; b: a burst; c, d: two photos of one place; e: alone."""
    photos = tmp_path / "photos"
    photos.mkdir()
    shot = picture(1)
    save(photos, "a.jpg", shot)
    (photos / "a copy.jpg").write_bytes((photos / "a.jpg").read_bytes())
    save(photos, "a small.jpg", shot.resize((160, 120)))
    save(photos, "a poor.jpg", shot, quality=12)
    save(photos, "a dark.png", ImageEnhance.Brightness(shot).enhance(0.6))
    for second in range(3):
        moved = picture(2).crop((second * 8, 4, 440 + second * 8, 340))
        blurred = moved.filter(ImageFilter.GaussianBlur([2, 0, 3][second]))
        save(photos, f"b{second}.jpg", blurred, taken=f"1{second}")
    save(photos, "c1.jpg", picture(3))
    save(photos, "c2.jpg", picture(4))
    save(photos, "e.jpg", picture(5))
    return photos


def test_each_kind_on_files(folder):
    codeset = encoded(folder, {"a small.jpg": 2, "b1.jpg": 1, "b2.jpg": 3, "c2.jpg": 4})
    found = find_groups(codeset, GroupsOptions(radius=4))
    assert by_name(codeset, found, "exact") == [["a.jpg", "a copy.jpg"]]
    # the original comes first: it has the most pixels and the largest file of those
    (near,) = by_name(codeset, found, "near")
    assert near[0] in ("a.jpg", "a dark.png")
    assert sorted(near) == ["a dark.png", "a poor.jpg", "a small.jpg", "a.jpg"]
    assert near[-1] == "a small.jpg"
    (burst,) = by_name(codeset, found, "burst")
    assert burst[0] == "b1.jpg"
    assert sorted(burst) == ["b0.jpg", "b1.jpg", "b2.jpg"]
    assert found.of("burst")[0].why.startswith("sharpest")
    assert [sorted(one) for one in by_name(codeset, found, "place")] == [["c1.jpg", "c2.jpg"]]


def test_codes_alone(folder):
    """Without looking, near codes make near-duplicates where that is asked for; times still keep shots apart."""
    codeset = encoded(folder, {"c2.jpg": 3})
    asked = find_groups(codeset, GroupsOptions(radius=6, look="off"))
    assert (by_name(codeset, asked, "near"), len(by_name(codeset, asked, "place"))) == ([], 2)
    assert "not compared" in asked.notes[0]
    found = find_groups(codeset, GroupsOptions(radius=6, look="off", near_radius=2))
    assert [len(one) for one in by_name(codeset, found, "near")] == [4]
    assert [sorted(one) for one in by_name(codeset, found, "burst")] == [["b0.jpg", "b1.jpg", "b2.jpg"]]
    assert [sorted(one) for one in by_name(codeset, found, "place")] == [["c1.jpg", "c2.jpg"]]
    gone = replace(codeset, root=str(folder / "nowhere"))
    alone = find_groups(gone, GroupsOptions(radius=6, near_radius=2))
    assert alone.rules["look"] == "off"
    assert "11 photos cannot be read" in alone.notes[0]
    assert [len(one) for one in by_name(gone, alone, "near")] == [4, 3]  # no times either


@pytest.mark.parametrize(
    ("times", "kind"),
    [
        ([("10", ""), ("12", "")], "burst"),
        ([("10", ""), ("10", "")], "near"),
        ([("10", "1"), ("10", "9")], "burst"),
        ([("10", "5"), ("10", "5")], "near"),
        ([("10", ""), None], "near"),
        ([("10", ""), ("40", "")], "place"),
    ],
)
def test_times_tell_shots_apart(tmp_path, times, kind):
    """Two files that look alike."""
    for number, time in enumerate(times):
        save(tmp_path, f"a{number}.jpg", picture(1), *(time or ()), quality=80 + number)
    codeset = encoded(tmp_path)
    found = find_groups(codeset, GroupsOptions(radius=3))
    assert [(one.kind, len(one.rows)) for one in found.groups] == [(kind, 2)]


def test_copies_whose_codes_are_far_are_found_by_their_looks(tmp_path):
    shot = picture(1)
    save(tmp_path, "a.jpg", shot)
    save(tmp_path, "b.jpg", ImageEnhance.Brightness(shot).enhance(0.7), quality=30)
    save(tmp_path, "c.jpg", picture(2))
    codeset = encoded(tmp_path)
    assert hamming(codeset.codes[0], codeset.codes[1:2])[0] > 3
    found = find_groups(codeset, GroupsOptions(radius=3))
    assert by_name(codeset, found, "near") == [["a.jpg", "b.jpg"]]
    assert len(found.groups) == 1
    assert found.sharpness.base is None  # no view that keeps the grey copies of all photos


def test_unlike_pictures_with_equal_codes_are_no_duplicates(tmp_path):
    save(tmp_path, "a1.jpg", picture(1))
    save(tmp_path, "a2.jpg", picture(2))
    found = find_groups(encoded(tmp_path), GroupsOptions(radius=3))
    assert [one.kind for one in found.groups] == ["place"]


def test_cropped_and_turned_copies_are_matched(tmp_path, monkeypatch):
    shot = picture(7, (640, 480))
    save(tmp_path, "a.jpg", shot)
    save(tmp_path, "a cut.jpg", shot.crop((90, 70, 500, 400)))
    turned = shot.rotate(12, Image.Resampling.BICUBIC)
    save(tmp_path, "a turned.jpg", turned.crop((110, 90, 530, 390)))
    save(tmp_path, "a upright.jpg", shot.transpose(Image.Transpose.ROTATE_90))
    save(tmp_path, "a other.jpg", picture(8, (640, 480)))
    codeset = encoded(tmp_path)
    quick = find_groups(codeset, GroupsOptions(radius=3))
    assert [(one.kind, len(one.rows)) for one in quick.groups] == [("place", 5)]
    cache = tmp_path.parent / f"{tmp_path.name} looks"
    found = find_groups(codeset, GroupsOptions(radius=3, look="match"), cache=cache)
    monkeypatch.delattr("hashpipe.hashing.duplicates.copy_match.one_shot")  # all pairs are known now
    assert find_groups(codeset, GroupsOptions(radius=3, look="match"), cache=cache).groups == found.groups
    (near,) = by_name(codeset, found, "near")
    assert (near[0], sorted(near)) == ("a.jpg", ["a cut.jpg", "a turned.jpg", "a upright.jpg", "a.jpg"])


def test_two_views_of_a_scene_with_depth_are_two_shots(tmp_path):
    """Near and far boxes move by different amounts, as when the camera steps aside."""
    layers = [picture(seed, (900, 480)) for seed in (11, 12)]
    mask = Image.new("L", (900, 480), 0)
    for x in range(0, 900, 150):
        ImageDraw.Draw(mask).rectangle([x, 60, x + 70, 420], fill=255)
    for name, step in (("one.jpg", 0), ("two.jpg", 60)):
        view = layers[0].crop((100, 0, 740, 480))
        moved = (100 + step, 0, 740 + step, 480)
        view.paste(layers[1].crop(moved), (0, 0), mask.crop(moved))
        save(tmp_path, name, view)
    paths = tmp_path / "one.jpg", tmp_path / "two.jpg"
    one, two = (features(path, sha256_file(path)) for path in paths)
    assert one_shot(one, one)
    assert not one_shot(one, two)
    assert features(tmp_path / "missing.jpg", "0" * 64) is None
    assert features(paths[0], sha256_file(paths[1])) is None  # another photo has its place
    nothing = np.zeros(0, complex), np.zeros(0, complex), np.zeros((0, 128), np.float32)
    assert not one_shot(one, nothing)


def test_headers(tmp_path):
    save(tmp_path, "a.jpg", picture(1), "07", "25")
    header = read_header(tmp_path / "a.jpg")
    assert (header.taken % 60, header.exact, header.camera, header.size) == (7.25, True, "Camera", (480, 360))
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    assert read_header(tmp_path / "b.jpg").size == (0, 0)
    assert np.isnan(read_header(tmp_path / "c.jpg").taken)


def test_blur_lowers_sharpness():
    grey = picture(1).convert("L")
    values = [sharpness(grey.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert sharpness(Image.new("L", (2, 2))) == 0


def test_flat_photos_make_no_place():
    codeset = replace(make(np.zeros((4, 4), np.uint8)), quality=np.array([1, 0.1, 1, 0.2], np.float32))
    found = find_groups(codeset, GroupsOptions(radius=0, look="off", near_radius=0))
    assert [(one.kind, len(one.rows)) for one in found.groups] == [("near", 4)]
    codeset = replace(codeset, codes=np.array([[0] * 4, [1] * 4, [3] * 4, [7] * 4], np.uint8))
    found = find_groups(codeset, GroupsOptions(radius=8, look="off"))
    assert [(one.kind, set(one.rows)) for one in found.groups] == [("place", {0, 2})]
    assert "2 flat or tiny photos" in " ".join(found.notes)


def calibrated(radius: int) -> Calibration:
    values: dict = {field.name: () for field in fields(Calibration)}
    rate = tuple(float(value) for value in np.linspace(0, 1, BITS + 1))
    values |= {"expected": rate, "false": rate, "radius": radius, "bits": BITS}
    return Calibration(**values)


def test_where_the_radius_comes_from():
    codeset = make(clustered(10, 1))
    off = GroupsOptions(look="off")
    assert find_groups(codeset, off).rules["radius"] == BITS // 8
    calibration = calibrated(7)
    found = find_groups(codeset, off, None, calibration)
    assert (found.rules["radius"], found.rules["radius_from"]) == (7, "calibrated")
    assert found.rules["false_match_rate"] == pytest.approx(7 / 32)
    assert find_groups(codeset, replace(off, radius=2), None, calibration).rules["radius"] == 2
    with pytest.raises(UserError, match="codes have 32 bits"):
        find_groups(codeset, replace(off, radius=33))


def workspace_of(tmp_path: Path, codeset: CodeSet) -> Path:
    workspace = open_workspace(tmp_path / "workspace", create=True)
    write_codes(workspace / "codes.parquet", codeset)
    return workspace


def page_data(page: str) -> list[dict]:
    return json.loads(page.split('id="data">')[1].split("</script>")[0])


def test_files_that_are_written(tmp_path, folder):
    name = "a </script><b>&.jpg"
    os.rename(folder / "a poor.jpg", folder / name.replace("/", "∕"))
    codeset = encoded(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    result = groups(workspace_of(tmp_path, codeset), GroupsOptions(radius=3))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert result.counts["exact"] == (1, 2)
    stored = json.loads((result.folder / "groups.json").read_text(encoding="utf-8"))
    with (result.folder / "groups.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(one["photos"]) for one in stored["groups"]) == sum(n for _, n in result.counts.values())
    assert {row["kind"] for row in rows} == set(KINDS)
    for one in stored["groups"]:
        assert [photo["best"] for photo in one["photos"]] == [True] + [False] * (len(one["photos"]) - 1)
        assert one["why_best"]
    near = next(one for one in stored["groups"] if one["kind"] == "near")
    assert {photo["stands_for"] for photo in near["photos"]} == {0, 1}  # a.jpg has an exact copy
    page = (result.folder / "groups.html").read_text(encoding="utf-8")
    sections = page_data(page)
    assert [one["groups"] for one in sections] == [result.counts[kind][0] for kind in KINDS]
    shown = [photo for one in sections for card in one["cards"] for photo in card["photos"]]
    assert len(shown) == len(rows)
    for _, path, link, small, _ in shown:
        assert Path(path).exists()
        assert link.startswith("file:///")
        with Image.open(result.folder / small) as image:
            assert max(image.size) <= 240
    assert "http://" not in page
    assert "https://" not in page
    assert page.count("<script") == 2


def test_again_looks_at_nothing_twice_and_drops_old_pictures(tmp_path, folder):
    workspace = workspace_of(tmp_path, encoded(folder))
    first = groups(workspace, GroupsOptions(radius=3))
    stamps = {path: path.stat().st_mtime_ns for path in (first.folder / "looks").iterdir()}
    assert stamps
    pictures = set((first.folder / "pictures").iterdir())
    assert groups(workspace, GroupsOptions(radius=3)).counts == first.counts
    assert {path: path.stat().st_mtime_ns for path in (first.folder / "looks").iterdir()} == stamps
    assert set((first.folder / "pictures").iterdir()) == pictures
    assert groups(workspace, GroupsOptions(radius=3, shown=1)).counts == first.counts
    assert set((first.folder / "pictures").iterdir()) == pictures
    assert groups(workspace, GroupsOptions(radius=3, shown=0)).counts == first.counts
    assert not list((first.folder / "pictures").iterdir())


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path, folder):
    workspace = workspace_of(tmp_path, encoded(folder))
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(UserError, match="holds other files"):
        groups(workspace, GroupsOptions(radius=3, output=folder))
    assert {path.name for path in folder.iterdir()} == before
    mine = groups(workspace, GroupsOptions(radius=3, output=tmp_path / "out")).folder / "pictures" / "holiday.jpg"
    mine.write_bytes(b"mine")
    groups(workspace, GroupsOptions(radius=3, shown=0, output=tmp_path / "out"))
    assert [path.name for path in mine.parent.iterdir()] == ["holiday.jpg"]


def test_a_group_of_thousands_and_thousands_of_groups(tmp_path):
    """What the page holds is bounded; the CSV file has them all."""
    rng = np.random.default_rng(0)
    many = np.zeros((4000, 8), np.uint8)
    many[:, 7] = np.arange(4000) % 2
    pairs = np.repeat(rng.integers(0, 256, (1500, 8)).astype(np.uint8), 2, axis=0)
    codeset = make(np.concatenate([many, pairs]))
    options = GroupsOptions(radius=4, look="off", near_radius=1, shown=50, force=True)  # there are no such files
    result = groups(workspace_of(tmp_path, codeset), options)
    assert result.counts["near"] == (1501, 7000)
    page = (result.folder / "groups.html").read_text(encoding="utf-8")
    near = page_data(page)[1]
    assert (near["groups"], len(near["cards"]), near["cards"][0]["count"]) == (1501, 50, 4000)
    assert len(near["cards"][0]["photos"]) == 300
    assert len(page) < 200_000
    with (result.folder / "groups.csv").open() as file:
        assert sum(1 for _ in file) == 7001


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_group(tmp_path, count):
    result = groups(workspace_of(tmp_path, make(clustered(count, 0))), GroupsOptions(force=True))
    assert set(result.counts.values()) == {(0, 0)}
    assert (result.folder / "groups.html").exists()
    assert "nothing was deleted" in result.as_text()


def test_a_page_that_cannot_be_made_costs_no_groups(tmp_path, folder, no_drawing):
    workspace = workspace_of(tmp_path, encoded(folder))
    (workspace / "groups").mkdir()
    for name in ("groups.json", "groups.html"):
        (workspace / "groups" / name).write_text("of older groups")
    result = groups(workspace, GroupsOptions(radius=3))
    assert result.counts["exact"] == (1, 2)
    assert len(json.loads((result.folder / "groups.json").read_text(encoding="utf-8"))["groups"]) > 1
    assert result.as_json()["files"] == ["groups.csv", "groups.json"]
    assert "groups.csv lists them" in result.as_text()
    assert len(no_drawing) == 1


def test_groups_of_photos_that_are_away_replace_none(tmp_path, folder):
    workspace = workspace_of(tmp_path, encoded(folder))
    groups(workspace, GroupsOptions(radius=3))
    before = (workspace / "groups" / "groups.json").read_bytes()
    folder.rename(tmp_path / "unplugged")
    with pytest.raises(UserError, match=r"of the \d+ photos of .*codes.parquet are away, .* give --force"):
        groups(workspace, GroupsOptions(radius=3))
    assert (workspace / "groups" / "groups.json").read_bytes() == before
    notes = groups(workspace, GroupsOptions(radius=3, force=True)).notes
    assert any("cannot be read at their paths" in note for note in notes)


def test_a_photo_that_changed_is_named_and_not_looked_at(tmp_path, folder):
    """Another picture under the name of one: nothing of it counts, and nothing of it is stored."""
    workspace = workspace_of(tmp_path, encoded(folder))
    codeset = read_codes(workspace / "codes.parquet")
    victim = folder / "a poor.jpg"
    sha = codeset.sha256[codeset.paths.index("a poor.jpg")]
    save(folder, "a poor.jpg", picture(99), "55")
    for look in ("quick", "match"):
        result = groups(workspace, GroupsOptions(radius=3, look=look))
        assert any(
            note.startswith("1 photos have changed since they were encoded (a poor.jpg)") for note in result.notes
        )
    stored = json.loads((result.folder / "groups.json").read_text(encoding="utf-8"))
    found = [one for group in stored["groups"] for one in group["photos"] if one["path"] == str(victim)]
    assert all((one["width"], one["taken_at"], one["sharpness"]) == (0, None, None) for one in found)
    assert sha not in descriptor_cache.read(result.folder / "looks")
    assert not (result.folder / "pictures" / f"{sha[:24]}.jpg").exists()


def test_a_workspace_is_no_folder_for_groups(tmp_path, folder):
    """It holds a lock as a folder of groups does; pictures would be written beside the model."""
    workspace = workspace_of(tmp_path, encoded(folder))
    (workspace / ".lock").touch()
    with pytest.raises(UserError, match="holds other files"):
        groups(workspace, GroupsOptions(radius=3, output=workspace))


def test_dates_that_cannot_be_are_unknown_as_in_a_build(tmp_path: Path) -> None:
    def header(details: dict[int, str]) -> Header:
        exif = Image.Exif()
        exif.get_ifd(0x8769).update(details)
        Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg", exif=exif)
        return read_header(tmp_path / "a.jpg")

    found = header({0x9003: "1970:01:01 00:00:00", 0x9004: "2021:05:06 07:08:09", 0x9291: "25"})
    assert found.taken == (datetime(2021, 5, 6, 7, 8, 9) - datetime(1970, 1, 1)).total_seconds()
    assert not found.exact  # the parts of a second belong to the other date
    assert np.isnan(header({0x9003: "1970:01:01 00:00:00"}).taken)
    assert header({0x9003: "2021:05:06 07:08:09", 0x9291: "25"}).exact
