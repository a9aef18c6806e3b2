"""Training on pairs that others made: a cirtorch database, and a COLMAP model with rendered photos."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from colmap_text import write_place
from PIL import Image

from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.models.network import load_model
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.train import train
from hashpipe.pairgen.formats.import_pairs import import_pairs
from hashpipe.pairgen.formats.options import ImportOptions

VLAD = BackboneOptions(backbone="vlad")


def cirtorch(folder: Path, clusters: int = 4, size: int = 4) -> Path:
    """A database whose photos are shifted crops of one random picture for each cluster."""
    generator = np.random.default_rng(0)
    cids = [f"{row:032x}"[::-1] for row in range(clusters * size)]
    for row, cid in enumerate(cids):
        if row % size == 0:
            ground = Image.fromarray(generator.integers(0, 255, (40, 50, 3), dtype=np.uint8)).resize((200, 160))
        path = folder / "ims" / cid[-2:] / cid[-4:-2] / cid[-6:-4] / cid
        path.parent.mkdir(parents=True, exist_ok=True)
        ground.crop((6 * (row % size), 0, 160 + 6 * (row % size), 150)).save(path, "PNG")
    pairs = [(c * size + q, c * size + p) for c in range(clusters) for q in range(size) for p in range(size) if q != p]
    part = {"cids": cids, "cluster": [row // size for row in range(len(cids))]}
    train_part = {**part, "qidxs": [q for q, _ in pairs], "pidxs": [p for _, p in pairs]}
    val_part = {"cids": [], "cluster": [], "qidxs": [], "pidxs": []}
    path = folder / "retrieval-SfM-toy.pkl"
    path.write_bytes(pickle.dumps({"train": train_part, "val": val_part}))
    return path


def test_training_on_a_cirtorch_database(tmp_path: Path) -> None:
    summary = import_pairs(cirtorch(tmp_path / "db"), tmp_path / "ws", ImportOptions())
    assert summary.places == 4
    result = train(TrainOptions(bits=(8,), steps=5, describe=VLAD), tmp_path / "ws")
    assert result.pairs["imported"] >= 8  # every fourth photo or so is held out
    assert result.pairs["negative"] > 0
    assert result.photos == 16 - summary.queries
    model = load_model(result.folder)
    assert model.config["pairset"] == summary.fingerprint


@pytest.mark.slow
def test_training_on_a_colmap_model(tmp_path: Path) -> None:
    for number, seed in enumerate((1, 2, 4)):
        write_place(tmp_path / "sparse" / str(number), tmp_path / "images", seed)
    imported = import_pairs(tmp_path / "sparse", tmp_path / "ws", ImportOptions(places_differ=True))
    assert imported.pairs["negative"] > 0  # between places; of three only one is learnt from
    result = train(TrainOptions(bits=(8,), steps=5, describe=VLAD), tmp_path / "ws")
    assert result.pairs["covisible"] > 0
