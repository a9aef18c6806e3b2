"""Every objective from pairs to an exported network: lengths, fine-tuning, the card, codes, the graph. Mostly slow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys
from small_models import NET, network_model, random_weights

from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace
from hashpipe.hashing.codes.codes_file import read_codes
from hashpipe.hashing.data import images
from hashpipe.hashing.encoding import onnx_export, runtimes
from hashpipe.hashing.encoding.encode import encode
from hashpipe.hashing.encoding.encoder import open_encoder
from hashpipe.hashing.encoding.options import EncodeOptions
from hashpipe.hashing.evaluation import EvalOptions, evaluate
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.models.heads import Head
from hashpipe.hashing.models.model_folder import read_model
from hashpipe.hashing.models.network import load_model, make_model, save_model
from hashpipe.hashing.training.adapt import adapt
from hashpipe.hashing.training.heads import head_class, reads_maps
from hashpipe.hashing.training.objectives import OBJECTIVES, objective_class
from hashpipe.hashing.training.options import AdaptOptions, FinetuneOptions
from hashpipe.hashing.training.train import train
from hashpipe.pairgen.pairs.pairset import write_pairset

PHOTOS, PLACES = 16, 3
QUICK = ("drsdh",)
OF_MAPS = [name for name in OBJECTIVES if reads_maps(objective_class(name).head)]
ALL = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in OBJECTIVES]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return toys.pictures(tmp_path_factory.mktemp("pictures"), PHOTOS)


@pytest.fixture(scope="module")
def describe(tmp_path_factory) -> BackboneOptions:
    return BackboneOptions(
        weights=str(random_weights(tmp_path_factory.mktemp("weights"), NET)), image_size=64, device="cpu"
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, pictures) -> Path:
    """Three places of five pictures and a lone one; overlaps of similar pairs are measured."""
    made = open_workspace(tmp_path_factory.mktemp("work") / "ws", create=True)
    names = sorted(path.name for path in pictures.glob("*.png"))
    place = [row % PLACES if row < PHOTOS - 1 else -1 for row in range(PHOTOS)]
    rows = [(a, b) for a in range(PHOTOS) for b in range(a + 1, PHOTOS) if min(place[a], place[b]) >= 0]
    pairs = [(a, b, 1 if place[a] == place[b] else -1) for a, b in rows]
    overlap = [0.1 + 0.8 * number / len(pairs) if label > 0 else 0.0 for number, (*_, label) in enumerate(pairs)]
    found = toys.pairset({"path": names, "place": place}, pairs, root=pictures, overlap_ab=overlap)
    write_pairset(made / "pairs", {"parameters": {}}, found.photos, found.pairs, found.relations)
    return made


@pytest.mark.parametrize("name", ALL)
def test_from_pairs_to_an_exported_network(name, workspace, describe, pictures, tmp_path):
    pytest.importorskip("onnxruntime")
    head = objective_class(name).head
    maps, lengths = reads_maps(head), (10, 20) if head_class(head).multiple == 1 else (8, 24)
    options = replace(toys.learning(name, lengths, steps=4), describe=describe)
    if not maps:
        options = replace(options, tune=FinetuneOptions(finetune="last", finetune_steps=2, finetune_size=32))
    result = train(options, workspace)
    assert result.photos == PHOTOS
    card = (workspace / "model" / "README.md").read_text(encoding="utf-8")
    assert f"| objective | {name}, seed 0 |" in card
    model = load_model(workspace / "model", "cpu")
    assert model.bits == options.bits
    assert model.config["objective"] == name
    listed = images.from_folder_or_list(pictures)
    for bits in options.bits:
        encoder = open_encoder(workspace / "model", bits=bits, runtime="torch")
        right = encoder.outputs(listed)
        described = model.describer.describe(listed, None)
        np.testing.assert_allclose(model.codes_input(model.seen(listed, described, None), bits), right.u, atol=1e-3)
    stored = read_model(workspace / "model")
    onnx_export.write_graph(stored, bits, tmp_path / "hash.onnx")  # checks the graph against torch
    assert (tmp_path / "hash.onnx").stat().st_size > 1000
    assert runtimes.can_export()
    if name in ("drsdh", "itdh"):
        adapted = adapt(pictures, workspace, AdaptOptions(output=tmp_path / "adapted", steps=2))
        assert adapted.bits == options.bits


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in OF_MAPS])
def test_codes_of_heads_that_read_maps_are_written_and_scored(name, workspace, describe, pictures, tmp_path):
    lengths = (10, 20) if head_class(objective_class(name).head).multiple == 1 else (8, 24)
    train(replace(toys.learning(name, lengths, steps=4), describe=describe), workspace)
    for bits in lengths:
        file = tmp_path / f"{bits}.parquet"
        result = encode(pictures, workspace, EncodeOptions(bits=bits, runtime="torch", output=file))
        assert (result.space.bits, len(read_codes(file).codes)) == (bits, PHOTOS)
        encoder = open_encoder(workspace / "model", bits=bits, runtime="torch")
        outputs = encoder.outputs(images.from_folder_or_list(pictures))
        assert sorted(map(bytes, read_codes(file).codes)) == sorted(map(bytes, encoder.codes(outputs.u)))
    options = EvalOptions(benchmark="copies", root=pictures, baselines=("float",), rounds=100, galleries=False)
    rows = [row for row in evaluate(options, workspace).rows if (row["method"], row["metric"]) == (name, "map")]
    assert [row["bits"] for row in rows] == list(lengths)


def test_maps_are_not_fine_tuned(workspace, describe):
    options = replace(toys.learning("ath", (10,), steps=4), describe=describe)
    with pytest.raises(UserError, match="--finetune does not go with"):
        train(replace(options, tune=FinetuneOptions(finetune="last")), workspace)


def test_arrays_of_any_layout_in_memory_are_saved(tmp_path):
    """safetensors refuses what is not contiguous, as a slice of columns is."""
    plain = load_model(network_model(tmp_path / "network" / "model", (12,)), "cpu")
    arrays = {**plain.heads[12].arrays, "weight": np.asfortranarray(plain.heads[12].arrays["weight"])}
    config = {key: value for key, value in plain.config.items() if key != "fingerprint"}
    made = make_model(plain.describer, {12: Head("linear", arrays)}, plain.thresholds, config)
    save_model(tmp_path, made)
    again = load_model(tmp_path, "cpu")
    np.testing.assert_array_equal(again.heads[12].arrays["weight"], plain.heads[12].arrays["weight"])
    assert again.fingerprint == plain.fingerprint
