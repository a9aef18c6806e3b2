"""The benchmark with class labels: learnt as `train --labels` does, and set beside figures of papers."""

from __future__ import annotations

import argparse
import json
from functools import partial

import numpy as np
import pytest
from nested import results
from supervised import fits, publish
from supervised.published import PUBLISHED

from hashpipe.hashing.benchmarks.protocols import make_protocol
from hashpipe.hashing.data.pair_labels import no_targets
from hashpipe.hashing.metrics.relevance import ClassLabels
from hashpipe.hashing.training.label_pairs import targets_from_labels
from hashpipe.hashing.training.objectives import OBJECTIVES

CLASSES, EACH, WIDTH = 4, 60, 48


def toy() -> fits.Photos:
    """Classes that lie in few dimensions beneath strong noise: who knows the labels finds them, ITQ does not."""
    rng = np.random.default_rng(3)
    label = np.repeat(np.arange(CLASSES), EACH)
    x = rng.normal(size=(len(label), WIDTH)).astype(np.float32)
    x[:, :CLASSES] += 2.0 * np.eye(CLASSES, dtype=np.float32)[label]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    part = np.arange(len(label)) % 3
    queries, training, database = (np.flatnonzero(one) for one in (part == 0, part == 1, part != 0))
    keys = [str(row) for row in range(len(label))]
    protocol = make_protocol(
        "toy/I", keys, queries, database, training, ClassLabels(label[queries], label[database]), ("map",)
    )
    return fits.Photos(protocol, x, targets_from_labels(label[training]), "toy")


def item(name: str, seed: int = 0) -> fits.Item:
    return fits.Item(name, 0 if name == fits.FLOAT else 12, seed, 300, "toy", "code")


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "results.jsonl"
    todo = [item(name) for name in ("float", "itq", "dpsh", "dsah")] + [item("dpsh", 1)]
    assert results.do(path, todo, toy, fits.score, fits._told, 1, 1e6, lambda text: None)
    return path


def test_labels_lift_a_supervised_method_above_itq_and_no_other(lines):
    found = {line["method"]: line for line in results.read(lines) if "key" in line and line["seed"] == 0}
    assert found["dpsh"]["map"] > found["itq"]["map"] + 0.1
    assert found["dpsh"]["supervised"]
    assert found["dsah"]["map"] < found["itq"]["map"] + 0.1
    assert not found["dsah"]["supervised"]
    unlabelled = toy()
    without = fits.Photos(unlabelled.protocol, unlabelled.x, no_targets(len(unlabelled.protocol.training)), "toy")
    assert fits.score(without, item("dsah"))["map"] == found["dsah"]["map"]


def test_the_table_says_that_it_is_supervised_and_names_the_papers(lines, tmp_path):
    publish.publish(argparse.Namespace(results=lines, folder=tmp_path, commit="0123abc", machine="a test"))
    content = json.loads((tmp_path / "labels.json").read_text())
    (table,) = content["tables"]
    rows = {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["rows"]}
    assert table["caption"].startswith("SUPERVISED")
    assert "<!-- table: labels -->" in (tmp_path / "labels.md").read_text(encoding="utf-8")
    assert list(rows) == ["dpsh", "dsah, reads no labels", "itq", "float"]
    assert rows["dpsh"]["published 12"] == PUBLISHED["dpsh"].values[0]
    assert len(rows["dpsh"]["12"]) == 2  # mean and deviation over two seeds
    assert rows["float"]["published by"] == ""


def test_figures_are_of_methods_that_there_are():
    assert set(PUBLISHED) <= {*OBJECTIVES, *fits.BASELINES}


def test_lengths_that_a_head_cannot_make_are_named(capsys):
    assert not fits._fits("spdh", 12)
    assert "spdh is left out" in capsys.readouterr().out
    assert fits._fits("spdh", 24)
    assert set(fits._names(["descriptors"])) | set(fits._names(["maps"])) == set(fits._names(["all"]))
    with pytest.raises(SystemExit, match="no method"):
        fits._names(["dpsg"])


def test_workers_end_with_the_time(tmp_path):
    todo = [Slow(seed) for seed in range(4)]
    told = []
    assert not results.do(tmp_path / "r.jsonl", todo, dict, _wait, partial(dict, run=1), 2, 0.01, told.append)
    assert "4 fits are left" in told[-1]


class Slow(int):
    """An item whose fit takes longer than there is time."""

    @property
    def key(self) -> str:
        return str(int(self))


def _wait(loaded: dict, one: Slow) -> dict:
    import time

    time.sleep(60)
    return {"key": one.key}
