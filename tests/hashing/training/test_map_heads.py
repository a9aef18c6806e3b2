"""Heads that read feature maps: where they start, what they learn that a linear head cannot, memory, resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys
from small_models import NET, random_weights, write_pictures

from hashpipe.common.errors import UserError
from hashpipe.hashing.codes import packing
from hashpipe.hashing.data.images import from_folder_or_list
from hashpipe.hashing.encoding import encode as encoding
from hashpipe.hashing.encoding.encode import encode
from hashpipe.hashing.encoding.encoder import open_encoder
from hashpipe.hashing.encoding.options import EncodeOptions
from hashpipe.hashing.evaluation import EvalOptions, evaluate
from hashpipe.hashing.features import stored_maps
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.features.stored_maps import Maps, maps_of
from hashpipe.hashing.models.network import load_model
from hashpipe.hashing.training import loop
from hashpipe.hashing.training.adapt import adapt
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.options import AdaptOptions, FinetuneOptions, TrainOptions
from hashpipe.hashing.training.train import centre, fit_heads, train

BITS = 16
SHORT = TrainOptions((BITS,), head="attention", steps=24, batch_pairs=16, batch_others=16)


def test_starts_as_the_linear_head_on_mean_pooled_maps():
    x, maps, targets = toys.hidden_places()
    pooled = maps_of(maps).pooled()
    start = replace(SHORT, steps=0, bits=(8, BITS))
    found = fit_heads(x, targets, start, maps=maps)
    right = fit_heads(pooled, targets, replace(start, head="linear"))
    for bits in (8, BITS):
        assert not found[bits].arrays["attend"].any()
        for name in ("mean", "weight", "bias"):
            np.testing.assert_allclose(found[bits].arrays[name], right[bits].arrays[name], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found[bits](maps), right[bits](pooled), atol=1e-3)


def test_finds_the_position_that_shows_the_place():
    """On photos that it did not learn from; a linear head on the mean of all positions tells places by chance."""
    x, maps, targets = toys.hidden_places()
    learnt = np.arange(len(x)) % 12 < 8
    options = replace(SHORT, steps=200)
    known, group = targets.subset(learnt), targets.group[~learnt]
    head = fit_heads(x[learnt], known, options, maps=maps[learnt])[BITS]
    pooled = maps_of(maps).pooled()
    linear = fit_heads(pooled[learnt], known, replace(options, head="linear"))[BITS]
    assert toys.gap(linear(pooled[~learnt]) >= 0, group) < 0.08
    assert toys.gap(head(maps[~learnt]) >= 0, group) > 0.2


@pytest.mark.parametrize("changes", [{}, {"matryoshka": True, "bits": (8, BITS)}, {"objective": "greedyhash"}])
def test_goes_on_to_the_same_bytes(changes, tmp_path):
    x, maps, targets = toys.hidden_places()
    toys.assert_resumes(x, targets, replace(SHORT, **changes), tmp_path, maps)


def test_maps_are_never_all_in_memory_as_float32(monkeypatch):
    """Discovery, hard negatives, centring, validation and thresholds included: at most a part or a batch at a time."""
    monkeypatch.setattr(stored_maps, "PART", 10)
    x, maps, targets = toys.hidden_places()
    read: list[int] = []
    real = Maps.stored

    def watched(self, rows):
        found = real(self, rows)
        read.append(len(found))
        return found

    monkeypatch.setattr(Maps, "stored", watched)
    batches: list[int] = []
    draw = loop._draw

    def drawn(*rest):
        batch = draw(*rest)
        assert batch.maps.shape == (len(batch.rows), 17, 7, 7)
        np.testing.assert_array_equal(batch.maps, maps[batch.rows.numpy()].astype(np.float32))
        batches.append(len(batch.rows))
        return batch

    monkeypatch.setattr(loop, "_draw", drawn)
    options = replace(SHORT, batch_pairs=4, batch_others=4)
    checkpoint = Checkpoint(validate=lambda u: float(len(u)), tracked_pairs={"similar": targets.similar})
    heads = fit_heads(x, targets, options, checkpoint=checkpoint, maps=maps_of(maps))
    centre(heads, maps_of(maps))
    assert len(batches) == 24
    assert 10 in read
    assert max(read) <= max(10, *batches) < len(x)
    assert {line["validation"] for line in checkpoint.lines if "validation" in line} == {float(len(x))}


def test_heads_of_descriptors_get_no_maps(monkeypatch):
    x, maps, targets = toys.hidden_places()
    seen = []
    draw = loop._draw
    monkeypatch.setattr(loop, "_draw", lambda *rest: seen.append(draw(*rest)) or seen[-1])
    options = replace(SHORT, head="linear")
    given, without = (fit_heads(x, targets, options, maps=one)[BITS] for one in (maps, None))
    assert {batch.maps for batch in seen} == {None}
    for name, value in without.arrays.items():
        np.testing.assert_array_equal(given.arrays[name], value)
    with pytest.raises(ValueError, match="attention reads maps and none are given"):
        fit_heads(x, targets, SHORT)


def network(folder: Path) -> BackboneOptions:
    return BackboneOptions(NET, str(random_weights(folder)), image_size=96, device="cpu")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    photos = write_pictures(folder / "photos", 21)
    (photos / "broken.png").write_bytes(b"no photo")
    options = replace(SHORT, photos=photos, describe=network(folder))
    result = train(options, folder / "ws")
    assert (result.photos, result.unreadable) == (21, 1)
    return folder / "ws"


def test_the_model_keeps_its_head_and_its_thresholds(workspace):
    model = load_model(workspace / "model")
    assert model.heads[BITS].arrays["attend"].any()
    assert "| head | attention |" in (workspace / "model" / "README.md").read_text()
    assert (workspace / "model" / "plots" / f"bits_{BITS}.png").exists()
    photos = from_folder_or_list(workspace.parent / "photos")
    described = model.describer.describe(photos, workspace / "descriptors")
    seen = model.seen(photos, described, workspace / "descriptors")
    code = packing.signs(model.codes_input(seen, BITS)[described.ok], model.thresholds[BITS])
    assert np.abs(code.sum(axis=0) - 10.5).max() <= 0.5


@pytest.mark.parametrize("runtime", ["torch", "onnx", "openvino"])
def test_codes_are_the_same_under_every_runtime(runtime, workspace, tmp_path):
    """Those of torch, and those of evaluation, which reads maps kept as float16."""
    if runtime != "torch":
        pytest.importorskip("onnx")
        pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[runtime])
    photos = from_folder_or_list(workspace.parent / "photos")
    found = open_encoder(workspace / "model", runtime=runtime)
    outputs = found.outputs(photos)
    right = open_encoder(workspace / "model", runtime="torch").outputs(photos)
    np.testing.assert_array_equal(found.codes(outputs.u), found.codes(right.u))
    model = load_model(workspace / "model")
    described = model.describer.describe(photos, workspace / "descriptors")
    u = model.codes_input(model.seen(photos, described, workspace / "descriptors"), BITS)
    spread = right.u[right.ok].std()
    np.testing.assert_allclose(u[right.ok], outputs.u[right.ok], atol=2e-3 * spread)


def test_encoding_recentres_on_outputs_that_no_rounded_map_has_touched(workspace, tmp_path, monkeypatch):
    photos = workspace.parent / "photos"
    for module in (encoding, packing):
        monkeypatch.setattr(module, "ENOUGH_TO_CENTRE", 10)
    result = encode(photos, workspace, EncodeOptions(runtime="torch", recentre=True, output=tmp_path / "codes.parquet"))
    outputs = open_encoder(workspace / "model", runtime="torch").outputs(from_folder_or_list(photos))
    np.testing.assert_array_equal(result.space.thresholds, packing.thresholds(outputs.u[outputs.ok]))


def test_evaluation_scores_outputs_of_maps(workspace):
    pictures = workspace.parent / "queries"
    write_pictures(pictures, 12, seed=5)
    options = EvalOptions(benchmark="copies", root=pictures, baselines=("float", "itq"), rounds=100, galleries=False)
    rows = {row["method"]: row["value"] for row in evaluate(options, workspace).rows if row["metric"] == "map"}
    assert set(rows) >= {"joint", "float", "itq"}
    assert rows["joint"] > 0.3


def test_places_of_a_workspace_are_scored_with_a_second_model_too(tmp_path, photo_folder, make_pairset):
    make_pairset(tmp_path / "ws" / "pairs", *photo_folder)
    (tmp_path / "ws" / "workspace.json").write_text('{"workspace_version": 1}')
    train(replace(SHORT, describe=network(tmp_path)), tmp_path / "ws")
    options = EvalOptions(baselines=("float",), methods=("spdh",), rounds=100, galleries=False)
    result = evaluate(options, tmp_path / "ws")
    scored = {
        row["protocol"]: row["value"] for row in result.rows if (row["method"], row["metric"]) == ("joint", "map")
    }
    assert set(scored) == {"places/known", "places/adapted", "places/unseen"}
    assert min(scored.values()) > 0.2
    beside = {row["protocol"]: row["value"] for row in result.rows if (row["method"], row["metric"]) == ("spdh", "map")}
    assert set(beside) == set(scored)
    assert min(beside.values()) > 0.2


def test_a_model_is_taken_to_other_photos_from_itq_alone(workspace, tmp_path):
    photos = write_pictures(tmp_path / "new", 9, seed=3)
    result = adapt(photos, workspace, AdaptOptions(steps=4))
    adapted = load_model(result.folder)
    assert adapted.heads[BITS].kind == "attention"
    assert adapted.heads[BITS].arrays["attend"].any()
    with pytest.raises(UserError, match=r"--start model does not go with the head attention"):
        adapt(photos, workspace, AdaptOptions(steps=4, start="model"))


def test_what_is_refused_before_any_work(tmp_path):
    photos = write_pictures(tmp_path / "photos", 2)
    options = replace(SHORT, photos=photos)
    with pytest.raises(UserError, match="head=attention reads feature maps and vlad has none"):
        train(replace(options, describe=BackboneOptions("vlad")), tmp_path / "ws")
    tuned = replace(options, describe=network(tmp_path), tune=FinetuneOptions("last"))
    with pytest.raises(UserError, match="--finetune does not go with --set head=attention"):
        train(tuned, tmp_path / "ws")
    assert not (tmp_path / "ws" / "descriptors").exists()
