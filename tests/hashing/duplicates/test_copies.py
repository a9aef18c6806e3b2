"""Mirrored, cropped, smaller and lighter copies are found and named; other shots of the scene are not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from hashpipe.common.perceptual_hash import SIDE
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace
from hashpipe.hashing.duplicates import windows
from hashpipe.hashing.duplicates.appearance import appearances
from hashpipe.hashing.duplicates.copies import AGREE, find_copies
from hashpipe.hashing.duplicates.groups import find_groups
from hashpipe.hashing.duplicates.options import GroupsOptions
from hashpipe.hashing.duplicates.registration import read_grey, register


def picture(seed: int, near: tuple[int, int] = (0, 0)) -> Image.Image:
    """A far plane with texture at several scales, and near discs before it, moved by `near` pixels."""
    rng = np.random.default_rng(seed)
    total = np.zeros((300, 400, 3))
    for side in (4, 9, 20, 45):
        small = Image.fromarray(rng.integers(0, 256, (side, side, 3)).astype(np.uint8))
        total += np.asarray(small.resize((400, 300), Image.Resampling.BICUBIC), float)
    y, x = np.mgrid[:300, :400]
    for _ in range(12):
        centre, radius = rng.integers(30, 270, 2), int(rng.integers(15, 45))
        disc = (x - centre[1] - 50 - near[0]) ** 2 + (y - centre[0] - near[1]) ** 2 < radius**2
        total[disc] = 4 * rng.integers(0, 256, 3) + 60 * rng.standard_normal((int(disc.sum()), 3))
    return Image.fromarray(np.clip(total / 4, 0, 255).astype(np.uint8))


def changed(one: Image.Image) -> dict[str, Image.Image]:
    width, height = one.size
    return {
        "smaller": one.resize((240, 180), Image.Resampling.LANCZOS),
        "lighter": ImageEnhance.Brightness(one).enhance(1.25),
        "mirrored": ImageOps.mirror(one),
        "cropped": one.crop((round(0.05 * width), round(0.05 * height), round(0.95 * width), round(0.95 * height))),
        "cut": one.crop((0, 0, round(0.87 * width), height)),
        "mirrored and cropped": ImageOps.mirror(one).crop((20, 12, 380, 285)),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three photos; of the first all copies, and the next frame: what is near has moved by 6 pixels."""
    made = tmp_path_factory.mktemp("copies")
    for seed in range(3):
        picture(seed).save(made / f"{seed}.jpg", quality=92)
    for name, copy in changed(picture(0)).items():
        copy.save(made / f"0 {name}.jpg", quality=70)
    picture(0, near=(6, 2)).save(made / "0 next frame.jpg", quality=92)
    return made


def codeset_of(folder: Path) -> CodeSet:
    """Codes that know nothing: every photo is far from every other."""
    paths = tuple(sorted(path.name for path in folder.iterdir()))
    shas = tuple(hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in paths)
    codes = np.random.default_rng(0).integers(0, 256, (len(paths), 8)).astype(np.uint8)
    space = CodeSpace("0123456789abcdef", 64, np.zeros(64, np.float32))
    return CodeSet(space, np.arange(len(paths), dtype=np.int32), paths, shas, codes, np.ones(len(paths)), str(folder))


def test_copies_are_one_group_and_are_named(folder):
    found = find_groups(codeset_of(folder), GroupsOptions(radius=4))
    paths = found.codeset.paths
    (group,) = found.of("near")
    assert {paths[row] for row in group.rows} == {"0.jpg", *(f"0 {name}.jpg" for name in changed(picture(1)))}
    assert paths[group.rows[0]] == "0.jpg"
    words = {paths[row][2:-4]: found.copy_words(group, row) for row in group.rows[1:]}
    assert words["mirrored"] == "mirrored"
    assert words["smaller"] == "smaller"
    assert words["lighter"] == "compressed or edited"
    assert words["cropped"] == "cropped to 81 %"
    assert words["cut"] in ("cropped to 86 %", "cropped to 87 %", "cropped to 88 %")
    assert words["mirrored and cropped"].startswith("mirrored, cropped to 8")


def test_verdicts_are_stored_and_used(folder, tmp_path, monkeypatch):
    codeset = codeset_of(folder)
    seen = appearances(codeset, np.arange(len(codeset)), None, 1)
    first = find_copies(codeset, seen, 4, tmp_path / "cache")
    assert first.edges
    monkeypatch.setattr("hashpipe.hashing.duplicates.copies.register", None)
    again = find_copies(codeset, seen, 4, tmp_path / "cache")
    assert again.edges.keys() == first.edges.keys()


def test_only_pairs_across_two_sets(folder):
    codeset = codeset_of(folder)
    seen = appearances(codeset, np.arange(len(codeset)), None, 1)
    side = np.array(["mirrored" in path for path in codeset.paths])
    found = find_copies(codeset, seen, 4, None, side)
    assert found.edges
    assert all(side[found.links()].sum(axis=1) == 1)


@pytest.mark.parametrize("flip", [False, True])
def test_the_window_is_found_to_a_pixel(folder, tmp_path, flip):
    one = picture(5)
    shown = (ImageOps.mirror(one) if flip else one).crop((36, 18, 372, 279))
    one.save(tmp_path / "a.png")
    shown.save(tmp_path / "b.png")
    a, b = (
        read_grey(tmp_path / name, hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
        for name in ("a.png", "b.png")
    )
    assert a is not None
    assert b is not None
    relation = register(a, b, (0.1, 0.1, 0.9, 0.9), flip)
    np.testing.assert_allclose(relation.window, (36 / 400, 18 / 300, 372 / 400, 279 / 300), atol=1 / 400)
    assert relation.agreement >= AGREE
    assert register(a, b, (0.1, 0.1, 0.9, 0.9), not flip).agreement < 0.8


def test_hashes_of_mirrored_photos_are_those_of_the_mirrored_pixels():
    grey = np.random.default_rng(0).standard_normal((20, SIDE, SIDE)).astype(np.float32)
    grey -= grey.mean(axis=(1, 2), keepdims=True)
    plain = windows.hashes(grey.reshape(20, -1))
    turned = windows.hashes(np.ascontiguousarray(grey[:, :, ::-1]).reshape(20, -1))
    np.testing.assert_array_equal(windows.mirrored(plain), turned)
    assert (plain != turned).any()


def test_parts_are_what_a_resized_crop_shows():
    one = picture(3).convert("L")
    grey = np.asarray(one.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32).ravel()
    for number, (left, top, right, bottom) in enumerate(windows.WINDOWS):
        box = (left * 400, top * 300, right * 400, bottom * 300)
        crop = np.asarray(one.resize((SIDE, SIDE), Image.Resampling.BOX, box=box), np.float32).ravel()
        crop = (crop - crop.mean()) / np.linalg.norm(crop - crop.mean())
        assert float(windows.parts(grey[None], number)[0] @ crop) > 0.97


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_photos(count):
    grey = np.random.default_rng(0).standard_normal((count, SIDE * SIDE)).astype(np.float32)
    grey /= np.maximum(np.linalg.norm(grey, axis=1, keepdims=True), 1e-9)
    found = windows.propose(grey, np.ones(count, bool), np.full((count, 1), -1), 0.9)
    assert len(found.original) == 0
