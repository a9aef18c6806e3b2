"""Class labels of a benchmark as pairs: all of a class where they can be listed, refused where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toys

from hashpipe.common.errors import UserError
from hashpipe.hashing.benchmarks.benchmarks import Benchmark
from hashpipe.hashing.benchmarks.protocols import make_protocol
from hashpipe.hashing.data import images
from hashpipe.hashing.metrics.relevance import ClassLabels
from hashpipe.hashing.models.card import write_card
from hashpipe.hashing.training import label_pairs
from hashpipe.hashing.training.label_pairs import targets_from_labels, training_labels
from hashpipe.hashing.training.options import TrainOptions

CLASS = np.array([2, 0, 1, 1, 0, 2, 2, 0, 1, 0])


def benchmark(database: np.ndarray, training: np.ndarray) -> Benchmark:
    """Ten photos of three classes; row 0 is the query."""
    listed = images.from_paths([Path(f"{row}.png") for row in range(10)])
    relevance = ClassLabels(CLASS[:1], CLASS[database])
    protocol = make_protocol("t", listed.keys, np.array([0]), database, training, relevance, ("map",))
    return Benchmark("toy", listed, (protocol,))


def test_labels_are_those_of_the_photos_learnt_from():
    training = np.array([3, 9, 5, 1])
    found = training_labels(benchmark(np.array([9, 8, 7, 6, 5, 4, 3, 2, 1]), training))
    assert found.tolist() == CLASS[training].tolist()
    with pytest.raises(UserError, match="--labels needs one class for each photo, and toy gives none"):
        training_labels(benchmark(np.array([9, 8, 7, 6, 5]), training))


def test_all_pairs_of_a_class_are_similar_and_classes_are_places():
    found = targets_from_labels(CLASS)
    expected = {(a, b) for a in range(10) for b in range(a + 1, 10) if CLASS[a] == CLASS[b]}
    assert {tuple(pair) for pair in found.similar.tolist()} == expected
    assert len(found.similar) == len(expected)
    assert len(found.dissimilar) == 0
    assert found.group.tolist() == CLASS.tolist()


def test_of_large_classes_each_photo_meets_as_many_others(monkeypatch):
    monkeypatch.setattr(label_pairs, "MOST", 600)
    labels = np.arange(120) % 3
    found = targets_from_labels(labels)
    assert (labels[found.similar[:, 0]] == labels[found.similar[:, 1]]).all()
    assert len(np.unique(found.similar, axis=0)) == len(found.similar) <= 600
    assert (np.bincount(found.similar.ravel(), minlength=120) == 10).all()


def test_supervised_methods_learn_classes_and_the_card_says_so(tmp_path):
    x, places = toys.places(4, 12, spread=0.5)
    targets = targets_from_labels(places.group)
    code = toys.fitted_outputs(x, targets, toys.learning("dpsh", (12,), steps=100)) >= 0
    plain = toys.fitted_outputs(x, targets, TrainOptions((12,), steps=0)) >= 0
    assert toys.gap(code, places.group) > toys.gap(plain, places.group) + 0.01
    config = {
        "options": {},
        "describer": {"backbone": "vlad", "words": 4, "image_size": 64},
        "bits": [12],
        "pairs": {"class": 5},
        "fingerprint": "f",
        "photos": 48,
        "objective": "dpsh",
        "seed": 0,
        "centred": True,
        "source": {"benchmark": "cifar10", "fingerprint": "f", "labels": True},
    }
    write_card(tmp_path, config)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "learnt WITH CLASS LABELS of a benchmark by hashpipe" in text
    assert "| pairs from class labels | 5 class |" in text
    assert "without labels" not in text


def test_labels_need_a_benchmark():
    with pytest.raises(
        UserError, match="--labels are the class labels of a benchmark; name it with --benchmark and --root"
    ):
        TrainOptions(labels=True)
