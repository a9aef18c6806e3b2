"""The benchmark of published methods: what can be run is run, scored and shown; the rest is named."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import numpy as np
import pytest
from nested import data, learner, methods, results
from nested.choice import Store
from nested.variants import methods as variants_of
from toy_places import made


@pytest.fixture(scope="module")
def toy() -> data.Collection:
    found = made()
    return replace(found, descriptors={"mobilenet_v2": found.descriptors["toy"]})


@pytest.fixture(scope="module")
def run(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("methods")
    rng = np.random.default_rng(0)
    pixels = {"phash": rng.normal(size=(len(toy.ok), 1023)), "cslbp": rng.random((len(toy.ok), 32, 32, 4))}
    data.save(folder / "toy.npz", replace(toy, pixels={name: one.astype(np.float32) for name, one in pixels.items()}))
    asked = argparse.Namespace(
        data=folder / "toy.npz", results=folder / "results.jsonl", methods=["itdh", "dpsh"], workers=1, minutes=1e6,
        descriptors=["mobilenet_v2"], forms=["known"], bits=[16], seeds=[0],
    )  # fmt: skip
    methods.run(asked)
    methods.publish(argparse.Namespace(results=asked.results, folder=folder, commit="0123abc", machine="a test"))
    return folder


def test_rows_are_the_scores_of_the_fits(run):
    content = json.loads((run / "methods.json").read_text())
    (table,) = content["tables"]
    rows = {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["rows"]}
    assert {"itdh", "dpsh", "itq", "pca", "lsh", "sh", "phash", "cslbp", "float"} <= set(rows)
    store = Store(results.read(run / "results.jsonl"))
    scores = store.outer(("mobilenet_v2", "known", 16), "dpsh, 0 start")
    assert rows["dpsh"]["known 16"] == pytest.approx(np.mean(list(scores.values())), abs=1e-4)
    assert rows["dpsh"]["seconds to learn"] > 0
    assert rows["dpsh"]["dead bits"] == 0
    assert rows["dpsh"]["unseen 16"] is None
    assert rows["itq"]["seconds to learn"] is None


def test_the_page_and_the_picture_name_every_method(run):
    page = (run / "methods.html").read_text()
    assert page.count("<tr>") == 1 + len(json.loads((run / "methods.json").read_text())["tables"][0]["rows"])
    assert "http" not in page.split("<code>")[0]  # nothing is fetched
    assert (run / "methods.svg").read_text().startswith("<?xml")


def test_a_head_that_reads_maps_is_left_out_where_there_are_none(toy, capsys):
    assert [one.name for one in methods.runnable(toy, "mobilenet_v2", variants_of(["dpsh", "ath"]))] == ["dpsh"]
    assert "ath is left out with mobilenet_v2: there are no feature maps" in capsys.readouterr().out
    with_maps = replace(toy, maps=np.zeros((len(toy.ok), 8, 7, 7), np.float16))
    assert len(methods.runnable(with_maps, "mobilenet_v2", variants_of(["dpsh", "ath"]))) == 2


def test_bits_that_never_change_are_dead():
    u = np.array([[1.0, -1.0, 1.0], [1.0, -2.0, -1.0]])
    assert learner.spread(u) == {"dead": 2, "imbalance": pytest.approx(2 / 3, abs=1e-4)}
