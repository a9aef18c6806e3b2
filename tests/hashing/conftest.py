"""A small workspace made by hand: textured places, a PairSet over them, and a model trained for an instant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toys
from PIL import Image, ImageFilter

from hashpipe.common.files import open_workspace
from hashpipe.pairgen.pairs.pairset import PairSet, write_pairset

PLACES, PHOTOS, LONERS = 6, 6, 4


def texture(rng: np.random.Generator, side: int = 360) -> Image.Image:
    picture = Image.fromarray(rng.integers(0, 256, (side // 6, side // 6, 3), dtype=np.uint8))
    return picture.resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1))


def write_photos(folder: Path) -> list[tuple[str, int]]:
    """Crops of one texture per place, and lonely photos; returns (name, place) with -1 for the lonely ones."""
    rng = np.random.default_rng(3)
    written = []
    folder.mkdir(parents=True)
    for place in range(PLACES):
        surface = texture(rng)
        for i in range(PHOTOS):
            left, top = rng.integers(0, 100, 2)
            surface.crop((left, top, left + 240, top + 240)).save(folder / f"p{place}_{i}.png")
            written.append((f"p{place}_{i}.png", place))
    for i in range(LONERS):
        texture(rng, 240).save(folder / f"lonely{i}.png")
        written.append((f"lonely{i}.png", -1))
    return written


def build_pairset(folder: Path, photos: Path, listed: list[tuple[str, int]]) -> PairSet:
    """Places 0-2 train, 3 val, 4-5 test; the last photo of a train or test place is a query."""
    place = np.array([one[1] for one in listed])
    names = [name for name, _ in listed]
    last = np.array([name.endswith(f"_{PHOTOS - 1}.png") for name in names])
    columns = {
        "path": names,
        "place": place,
        "split": np.where(np.isin(place, (0, 1, 2)), "train", np.where(place == 3, "val", "test")),
        "query": last & (place >= 0) & (place != 3),
        **{side: [240] * len(names) for side in ("width", "height")},
    }
    a, b = np.triu_indices(len(names), 1)
    # photo 1 of place 4 shares no pair with the others: junk for the query of its place
    apart = np.array([name == "p4_1.png" for name in names])
    kept = (place[a] == place[b]) & (place[a] >= 0) & ~apart[a] & ~apart[b]
    made = toys.pairset(columns, [(int(i), int(j), 1) for i, j in zip(a[kept], b[kept], strict=True)], root=photos)
    folder.mkdir(parents=True)
    return write_pairset(folder, {"parameters": {}}, made.photos, made.pairs, made.relations)


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory) -> tuple[Path, list[tuple[str, int]]]:
    folder = tmp_path_factory.mktemp("evaluate") / "photos"
    return folder, write_photos(folder)


@pytest.fixture
def pairset(tmp_path, photo_folder) -> PairSet:
    return build_pairset(tmp_path / "pairs", *photo_folder)


@pytest.fixture
def make_pairset():
    return build_pairset


@pytest.fixture(scope="session")
def workspace(tmp_path_factory, photo_folder) -> Path:
    """Pairs and a model; eval/ is written by the tests."""
    from hashpipe.hashing.features.options import BackboneOptions
    from hashpipe.hashing.training.options import TrainOptions
    from hashpipe.hashing.training.train import train

    folder = open_workspace(tmp_path_factory.mktemp("evaluate") / "ws", create=True)
    build_pairset(folder / "pairs", *photo_folder)
    train(
        TrainOptions(bits=(8, 16), describe=BackboneOptions(backbone="vlad", words=4, image_size=240), steps=20), folder
    )
    return folder
