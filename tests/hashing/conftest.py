"""A small workspace made by hand: textured places, a PairSet over them, and a model trained for an instant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFilter

from hashpipe.common.files import open_workspace, sha256_file
from hashpipe.pairgen.pairs.pairset import PAIRS_SCHEMA, PHOTOS_SCHEMA, RELATIONS_SCHEMA, PairSet, write_pairset

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
    n = len(listed)
    place = np.array([one[1] for one in listed])
    split = np.where(np.isin(place, (0, 1, 2)), "train", np.where(place == 3, "val", "test"))
    query = np.array([name.endswith(f"_{PHOTOS - 1}.png") for name, _ in listed]) & (place >= 0) & (place != 3)
    empty = [None] * n
    columns = {
        "photo": np.arange(n), "path": [one[0] for one in listed], "root": [str(photos)] * n,
        "sha256": [sha256_file(photos / one[0]) for one in listed], "width": [240] * n, "height": [240] * n,
        "orientation": [1] * n, "taken_at": empty, "lat": empty, "lon": empty, "status": ["ok"] * n,
        "duplicate_of": [-1] * n, "place": place, "model": place, "split": split, "query": query,
    }  # fmt: skip
    table = pa.table({f.name: pa.array(columns[f.name], f.type) for f in PHOTOS_SCHEMA})
    a, b = np.triu_indices(n, 1)
    similar = (place[a] == place[b]) & (place[a] >= 0)
    # photo 1 of place 4 shares no pair with the others: junk for the query of its place
    apart = np.array([name == "p4_1.png" for name, _ in listed])
    kept = similar & ~apart[a] & ~apart[b]
    a, b = a[kept], b[kept]
    values = {
        "a": a,
        "b": b,
        "label": np.ones(len(a)),
        "kind": ["covisible"] * len(a),
        "near_duplicate": [False] * len(a),
    }
    pairs = pa.table(
        {f.name: pa.array(values.get(f.name, np.zeros(len(a))), type=f.type) for f in PAIRS_SCHEMA}
        if len(a)
        else {f.name: pa.array([], f.type) for f in PAIRS_SCHEMA}
    )
    relations = pa.table({f.name: pa.array([], f.type) for f in RELATIONS_SCHEMA})
    folder.mkdir(parents=True)
    return write_pairset(folder, {"parameters": {}}, table, pairs, relations)


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
