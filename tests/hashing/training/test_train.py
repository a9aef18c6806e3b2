"""Training end to end on small pictures: the model folder, its parts, and what can go wrong."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import toys
from PIL import Image
from safetensors.torch import load_file, save_file
from small_models import random_weights

from hashpipe.common import extras
from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace
from hashpipe.common.known_files import remember_all, stamp
from hashpipe.hashing.codes import packing
from hashpipe.hashing.data import images
from hashpipe.hashing.data.pair_labels import no_targets
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.models.card import add_scores
from hashpipe.hashing.models.heads import Head, linear_head
from hashpipe.hashing.models.network import load_model
from hashpipe.hashing.training import train as training
from hashpipe.hashing.training import train_result
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.datasets import open_source
from hashpipe.hashing.training.objectives import OBJECTIVES, objective_class
from hashpipe.hashing.training.objectives.joint import Joint
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.recipes import head_of, method_of
from hashpipe.hashing.training.train import stored_options, train
from hashpipe.pairgen.pairs.pairset import read_pairset, write_pairset

NET = "shufflenet_v2_x0_5"
PLACES, VIEWS, LONE = 4, 5, 4


@pytest.fixture(scope="module")
def describe(tmp_path_factory) -> BackboneOptions:
    path = random_weights(tmp_path_factory.mktemp("weights"), NET)
    return BackboneOptions(weights=str(path), image_size=64, device="cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for place in range(PLACES):
        base = generator.integers(0, 255, (12, 16, 3))
        for view in range(VIEWS):
            pixels = np.clip(base + generator.normal(0, 20, base.shape), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).resize((80, 60), Image.Resampling.BICUBIC).save(folder / f"p{place}v{view}.png")
    for number in range(LONE):
        pixels = generator.integers(0, 255, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((80, 60), Image.Resampling.BICUBIC).save(folder / f"x{number}.png")
    return folder


def build_pairs(workspace: Path, pictures: Path, similar: bool = True, places: int = PLACES) -> Path:
    """A PairSet over the pictures: the last view of each place is held out, the last place is a test place."""
    workspace = open_workspace(workspace, create=True)
    names = sorted(path.name for path in pictures.glob("*.png"))
    place = [int(name[1]) if name[0] == "p" and int(name[1]) < places else -1 for name in names]
    photos = {
        "path": names,
        "place": place,
        "split": ["train" if 0 <= p < max(places - 1, 1) else "test" for p in place],
        "query": [p >= 0 and name[3] == str(VIEWS - 1) for p, name in zip(place, names, strict=True)],
    }
    rows = []
    for a in range(len(names)):
        for b in range(a + 1, len(names)):
            if place[a] >= 0 and place[a] == place[b] and similar:
                rows.append((a, b, 1))
            elif place[a] >= 0 and place[b] >= 0 and place[a] != place[b]:
                rows.append((a, b, -1))
    made = toys.pairset(photos, rows, root=pictures)
    write_pairset(workspace / "pairs", {"parameters": {}}, made.photos, made.pairs, made.relations)
    return workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, pictures) -> Path:
    return build_pairs(tmp_path_factory.mktemp("work") / "ws", pictures)


@pytest.fixture
def options(describe) -> TrainOptions:
    return TrainOptions((8, 12), describe=describe, steps=20, batch_pairs=8, batch_others=8)


@pytest.fixture(scope="module")
def trained(workspace, describe):
    return train(TrainOptions((8, 12), describe=describe, steps=20, batch_pairs=8, batch_others=8), workspace)


def test_result_says_what_was_done(trained, workspace):
    result = json.loads(json.dumps(trained.as_json()))
    assert result["model"] == str(workspace / "model")
    assert (result["bits"], result["objective"], result["backbone"]) == ([8, 12], "joint", NET)
    learnt = PLACES * (VIEWS - 1) + LONE
    assert result["photos"] == learnt
    per_place = (VIEWS - 1) * (VIEWS - 2) // 2
    assert result["pairs"] == {"covisible": 3 * per_place, "negative": 3 * (VIEWS - 1) ** 2}
    assert {"pairwise", "neighbours", "constraint"} <= set(result["losses"]["8"])
    for word in (str(learnt), trained.fingerprint, "covisible", "12 bits"):
        assert word in trained.as_text()


def test_model_folder_is_complete_and_readable_by_others(trained):
    names = {str(path.relative_to(trained.folder)) for path in trained.folder.rglob("*") if path.is_file()}
    assert names == {
        "config.json",
        "model.safetensors",
        "metrics.jsonl",
        "env.json",
        "log.txt",
        "README.md",
        "card.html",
        *(f"plots/{kind}_{bits}.png" for kind in ("loss", "distances", "epochs", "bits") for bits in (8, 12)),
    }
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in trained.folder.iterdir())
    lines = [json.loads(line) for line in (trained.folder / "metrics.jsonl").read_text().splitlines()]
    assert {line["bits"] for line in lines} == {8, 12}
    with Image.open(trained.folder / "plots/loss_8.png") as picture:
        assert picture.size > (300, 200)


def test_loaded_model_gives_the_same_codes(trained, pictures, workspace):
    model = load_model(trained.folder, "cpu")
    assert (model.bits, model.fingerprint) == ((8, 12), trained.fingerprint)
    listed = images.from_folder_or_list(pictures)
    described = model.describer.describe(listed)
    assert described.ok.all()
    u = model.codes_input(described.values, 12)
    assert (u.shape, u.dtype) == ((len(listed), 12), np.float32)
    again = load_model(trained.folder, "cpu").codes_input(model.describer.describe(listed).values, 12)
    np.testing.assert_array_equal(packing.pack(u, model.thresholds[12]), packing.pack(again, model.thresholds[12]))
    with pytest.raises(UserError, match="none of 16; train it with --bits 8,12,16"):
        model.codes_input(described.values, 16)
    assert model.codes_input(described.values[:0], 8).shape == (0, 8)


def test_options_come_back_from_the_config(trained, options):
    config = load_model(trained.folder, "cpu").config
    assert stored_options(config) == replace(options, method=method_of(options), head=head_of(options))
    assert config["seed"] == 0
    with pytest.raises(UserError, match="does not know"):
        stored_options({"options": {**config["options"], "later": 1}})


def test_training_again_gives_the_same_fingerprint_and_another_seed_another(trained, workspace, options):
    other = train(replace(options, seed=1), workspace)
    assert other.fingerprint != trained.fingerprint
    assert train(options, workspace).fingerprint == trained.fingerprint


def test_code_lengths_do_not_disturb_each_other(workspace, options, tmp_path, pictures):
    alone = build_pairs(tmp_path / "ws", pictures)
    train(replace(options, bits=(12,)), alone)
    one, two = load_model(alone / "model", "cpu"), load_model(workspace / "model", "cpu")
    np.testing.assert_array_equal(one.heads[12].arrays["weight"], two.heads[12].arrays["weight"])


def test_a_stop_leaves_the_old_model(trained, workspace, options, monkeypatch):
    def interrupt(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(train_result, "write_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(replace(options, seed=5), workspace)
    assert load_model(workspace / "model", "cpu").fingerprint == trained.fingerprint
    assert [path.name for path in workspace.iterdir() if path.name.startswith(".model")] == []


@pytest.mark.parametrize("steps", [0, 1, 3, 10])
def test_any_number_of_steps_gives_a_model_with_its_plots(options, pictures, tmp_path, steps):
    """Distances are counted after the first step, after every quarter and after the last step, no step twice."""
    result = train(replace(options, bits=(8,), steps=steps), build_pairs(tmp_path / "ws", pictures))
    assert load_model(result.folder, "cpu").fingerprint == result.fingerprint
    drawn = {path.name for path in (result.folder / "plots").glob("*.png")}
    assert drawn >= ({"loss_8.png", "epochs_8.png"} if steps else set()) | {"bits_8.png", "distances_8.png"}
    lines = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    counted = [line["step"] for line in lines if "distances" in line]
    quarter = max(1, steps // 4)
    assert counted == sorted({0, steps - 1, *range(quarter - 1, steps, quarter)} if steps else ())


def test_a_plot_that_raises_costs_no_model(options, pictures, tmp_path, monkeypatch):
    def broken(*arguments, **keywords):
        raise RuntimeError("no font")

    said: list[str] = []
    monkeypatch.setattr(train_result.plots, "write", broken)
    monkeypatch.setattr(extras, "say", said.append)
    result = train(replace(options, bits=(8,)), build_pairs(tmp_path / "ws", pictures))
    assert load_model(result.folder, "cpu").fingerprint == result.fingerprint
    assert (result.folder / "README.md").exists()
    assert said == [
        "The picture of the training could not be made (RuntimeError: no font); the model is complete without it."
    ]


def test_without_matplotlib_and_with_a_card_that_raises_the_model_is_whole(
    options, pictures, tmp_path, monkeypatch, no_drawing
):
    monkeypatch.setattr(train_result.card, "write_card", lambda *arguments: 1 / 0)
    result = train(replace(options, bits=(8,)), build_pairs(tmp_path / "ws", pictures))
    assert load_model(result.folder, "cpu").fingerprint == result.fingerprint
    assert [line.split(" could not")[0] for line in no_drawing] == ["The model card", "The picture of the training"]
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "config.json", "env.json", "log.txt", "metrics.jsonl", "model.safetensors",
    ]  # fmt: skip
    assert not (tmp_path / "ws" / "run").exists()


def test_the_model_is_there_before_its_plots_are_drawn(options, pictures, tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(
        train_result.plots, "write", lambda *rest: found.append(load_model(tmp_path / "ws" / "model", "cpu").bits)
    )
    train(replace(options, bits=(8,)), build_pairs(tmp_path / "ws", pictures))
    assert found == [(8,)]


def test_few_photos_are_not_centred_and_many_are(trained):
    assert not trained.centred
    assert any("too few to centre" in note for note in trained.notes)
    heads = {4: linear_head(np.zeros(6, np.float32), np.eye(6, 4, dtype=np.float32), np.zeros(4, np.float32))}
    x = np.random.default_rng(0).normal(1, 1, size=(300, 6)).astype(np.float32)
    found, centred = training.centre(heads, x)
    assert centred
    np.testing.assert_allclose(found[4], np.median(x[:, :4], axis=0), atol=1e-6)
    assert not training.centre(heads, x, wanted=False)[1]


def test_thresholds_of_few_photos_lie_on_none_of_them():
    """A bias that is a median puts 0 on a photo, whose bit then depends on the runtime."""
    x = np.random.default_rng(0).normal(1, 1, size=(61, 6)).astype(np.float32)
    bias = -np.sort(x[:, :4], axis=0)[30]
    heads = {4: linear_head(np.zeros(6, np.float32), np.eye(6, 4, dtype=np.float32), bias)}
    found, centred = training.centre(heads, x)
    assert not centred
    assert np.abs(heads[4](x)).min(axis=0).max() == 0
    assert np.abs(heads[4](x) - found[4]).min() > 1e-4
    np.testing.assert_allclose(found[4], 0, atol=0.2)


def test_photos_alone(pictures, options, tmp_path):
    result = train(replace(options, photos=pictures), tmp_path / "ws")
    assert result.photos == PLACES * VIEWS + LONE
    assert result.pairs == {}
    assert set(result.losses[8]) >= {"neighbours"}
    assert "pairwise" not in result.losses[8]


def test_a_pairset_where_nothing_was_reconstructed(pictures, options, tmp_path):
    result = train(options, build_pairs(tmp_path / "ws", pictures, similar=False, places=0))
    assert any("neighbour discovery" in note for note in result.notes)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_one_place_only(pictures, options, tmp_path, objective):
    options = replace(options, objective=objective, bits=(8,), batch_pairs=None, batch_others=None)
    workspace = build_pairs(tmp_path / "ws", pictures, places=1)
    if {"places", "dissimilar"} & objective_class(objective).needs:
        with pytest.raises(UserError, match=r"needs .*two places.*, and 3D found .* and 1 place to learn from"):
            train(options, workspace)
        assert not (workspace / "model").exists()
    else:
        assert train(options, workspace).photos > 0


def test_photos_gone_since(pictures, options, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in pictures.glob("*.png"):
        (copies / path.name).write_bytes(path.read_bytes())
    workspace = build_pairs(tmp_path / "ws", copies)
    (copies / "p0v0.png").unlink()
    result = train(options, workspace)
    assert (result.photos, result.unreadable) == (PLACES * (VIEWS - 1) + LONE - 1, 1)
    for path in copies.glob("*.png"):
        path.unlink()
    assert train(options, workspace).fingerprint == result.fingerprint  # descriptors are kept
    with pytest.raises(UserError, match="20 of the 20 photos of the pairs cannot be read"):
        train(replace(options, describe=replace(options.describe, pooling="mac")), workspace)


def test_equal_pictures_are_said(options, tmp_path):
    folder = tmp_path / "equal"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (64, 48), (90, 120, 30)).save(folder / f"{number}.png")
    assert any(
        "all descriptors are equal" in note for note in train(replace(options, photos=folder), tmp_path / "ws").notes
    )


def test_training_before_pairs(options, tmp_path):
    with pytest.raises(UserError, match="pairs build"):
        train(options, tmp_path / "nothing")
    with pytest.raises(UserError, match="pairs build"):
        train(options, open_workspace(tmp_path / "empty", create=True))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bits": (0,)}, "--bits is 0; give 4 to 4096"),
        ({"bits": (64, -8)}, "--bits is -8"),
        ({"bits": (100_000,)}, "--bits is 100000"),
        ({"bits": ()}, "--bits is empty"),
        ({"photos": Path("a"), "benchmark": "cifar10", "root": Path("b")}, "exclude each other"),
        ({"benchmark": "cifar10"}, "--root PATH"),
        ({"root": Path("b")}, "--root belongs to a benchmark"),
    ],
)
def test_options_that_cannot_be(changes, says):
    with pytest.raises(UserError, match=says):
        TrainOptions(**changes)


def test_code_lengths_are_sorted_and_counted_once():
    assert TrainOptions((64, 16, 64)).bits == (16, 64)


def test_weights_that_are_no_numbers_are_never_kept(trained, workspace, options, monkeypatch):
    real = training.fit_heads

    def broken(*arguments, **keywords):
        heads = real(*arguments, **keywords)
        return {
            bits: Head(head.kind, {name: value * np.nan for name, value in head.arrays.items()})
            for bits, head in heads.items()
        }

    monkeypatch.setattr(training, "fit_heads", broken)
    with pytest.raises(UserError, match=r"not finite"):
        train(replace(options, seed=6), workspace)
    assert load_model(workspace / "model", "cpu").fingerprint == trained.fingerprint


def test_a_loss_that_is_not_finite_is_said_and_nothing_is_lost(trained, workspace, options, monkeypatch):
    monkeypatch.setattr(Joint, "loss", lambda self, batch: {"odd": batch.u.sum() * torch.inf, "fine": batch.u.sum()})
    said = r"not finite at step 0 of 8 bits \(part odd is .*\); give a smaller --learning-rate"
    with pytest.raises(UserError, match=said):
        train(replace(options, seed=7), workspace)
    assert load_model(workspace / "model", "cpu").fingerprint == trained.fingerprint


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_absent(workspace, options):
    with pytest.raises(UserError, match="--device cuda needs a GPU, and torch finds none; use --device cpu or auto"):
        train(replace(options, describe=replace(options.describe, device="cuda")), workspace)


def test_what_must_be_said_of_a_training():
    """A batch larger than the data, more bits than dimensions, equal descriptors, nothing to learn or validate on."""
    x = np.ones((24, 5), np.float32)
    options = TrainOptions((4, 8), "bcdh", batch_pairs=8, patience=1)
    notes = list(training._notes(options, x, no_targets(24), False, Checkpoint()))
    for said in (
        "24 photos are too few to centre",
        "all descriptors are equal",
        "8 bits exceed the descriptor's 5 dimensions",
        "no place of the split val",
        "a batch is larger than the 24 photos",
    ):
        assert sum(said in note for note in notes) == 1, said
    quiet = TrainOptions((4,), batch_pairs=1, batch_others=1, recentre=False)
    assert not list(training._notes(quiet, np.eye(24, dtype=np.float32), no_targets(24), False, Checkpoint()))


def test_early_stopping_looks_at_validation_places_alone(workspace, options, pictures, tmp_path):
    """The pairs of the split val are what is validated on; those of test places appear nowhere."""
    built = build_pairs(tmp_path / "ws", pictures, places=PLACES)
    pairset = read_pairset(built / "pairs")
    assert "val" not in set(pairset.photo_column("split"))
    note = "no place of the split val has a similar pair"
    assert any(note in one for one in train(replace(options, patience=2), built).notes)
    split = ["val" if name.startswith("p2") else split for name, split in zip(*_names_and_splits(pairset), strict=True)]
    photos = pairset.photos.set_column(pairset.photos.schema.get_field_index("split"), "split", pa.array(split))
    write_pairset(built / "pairs", {"parameters": {}}, photos, pairset.pairs, pairset.relations)
    source = open_source(options, built)
    names = np.array(source.images.names)
    assert {name[:2] for name in names[np.unique(source.validation.similar)]} == {"p2"}
    assert {name[:2] for name in names[np.unique(source.targets.similar)]} == {"p0", "p1"}
    result = train(replace(options, patience=2), built)
    assert not any(note in one for one in result.notes)
    lines = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    assert {line["bits"] for line in lines if "validation" in line} == {8, 12}


def _names_and_splits(pairset):
    return pairset.photos["path"].to_pylist(), pairset.photo_column("split").tolist()


def test_model_card(trained):
    card = (trained.folder / "README.md").read_text()
    for word in (
        trained.fingerprint,
        NET,
        "20 photos",
        "covisible",
        "does not know the licence of the network's weights",
    ):
        assert word in card
    assert "Not evaluated yet" in card
    rows = [
        {"protocol": "places/known", "method": method, "bits": bits, "metric": metric, "value": value}
        for method, bits, metric, value in [
            ("ours", 8, "map", 0.5),
            ("ours", 12, "map", 0.75),
            ("float", None, "map", 0.9),
            ("ours", 8, "p@1", 0.1),
        ]
    ]
    assert not add_scores(trained.folder, "another", rows)
    for _ in range(2):  # scores replace scores
        assert add_scores(trained.folder, trained.fingerprint, rows)
    card = (trained.folder / "README.md").read_text()
    assert "Not evaluated yet" not in card
    assert card.count("## Scores") == 1
    assert "| places/known | ours | 0.500 | 0.750 |" in card
    assert "| places/known | float | 0.900 | 0.900 |" in card


def test_tensorboard(options, pictures, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    result = train(replace(options, photos=pictures, steps=3, tensorboard=True), tmp_path / "ws")
    assert list((result.folder / "tensorboard").glob("events*"))
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UserError, match=r"pip install 'hashpipe-photos\[tensorboard\]'"):
        train(replace(options, photos=pictures, tensorboard=True), tmp_path / "other")


def damaged(folder: Path, source: Path, name: str, content: bytes) -> Path:
    folder.mkdir()
    for file in ("config.json", "model.safetensors"):
        (folder / file).write_bytes((source / file).read_bytes())
    (folder / name).write_bytes(content)
    return folder


def test_models_that_cannot_be_loaded(trained, tmp_path):
    config = json.loads((trained.folder / "config.json").read_text())
    with pytest.raises(UserError, match="holds no model yet"):
        load_model(tmp_path / "none")
    with pytest.raises(UserError, match="cannot be read"):
        load_model(damaged(tmp_path / "cut", trained.folder, "model.safetensors", b"short"))
    later = json.dumps({**config, "model_version": 9}).encode()
    with pytest.raises(UserError, match="version 9"):
        load_model(damaged(tmp_path / "version", trained.folder, "config.json", later))
    tensors = load_file(trained.folder / "model.safetensors")
    tensors["head8.bias"] = tensors["head8.bias"] + 1
    save_file(tensors, tmp_path / "changed.safetensors")
    content = (tmp_path / "changed.safetensors").read_bytes()
    with pytest.raises(UserError, match="mixes files of different models"):
        load_model(damaged(tmp_path / "mixed", trained.folder, "model.safetensors", content))


def test_inputs_inside_of_the_model_are_refused(trained, workspace, options):
    before = load_model(workspace / "model", "cpu").fingerprint
    (workspace / "model" / "list.txt").write_text("a.jpg")
    try:
        with pytest.raises(UserError, match=r"--photos .*list.txt lies in"):
            train(replace(options, photos=workspace / "model" / "list.txt"), workspace)
        assert (workspace / "model" / "list.txt").exists()
        assert load_model(workspace / "model", "cpu").fingerprint == before
    finally:
        (workspace / "model" / "list.txt").unlink()


def test_photos_that_change_after_the_pairs_were_made(options, pictures, tmp_path):
    """A few are left out and named; with most of them nothing is learnt, and the model stays."""
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in pictures.glob("*.png"):
        (copies / path.name).write_bytes(path.read_bytes())
        os.utime(copies / path.name, (1e9, 1e9))
    workspace = build_pairs(tmp_path / "ws", copies)
    pairset = read_pairset(workspace / "pairs")
    files = zip(pairset.photo_paths(), pairset.photos["sha256"].to_pylist(), strict=True)
    remember_all(workspace / "files.parquet", [(path, stamp(path), sha) for path, sha in files])
    whole = train(replace(options, bits=(8,)), workspace)
    assert not any("changed" in note for note in whole.notes)
    one, two = (copies / name for name in ("p0v0.png", "p1v0.png"))
    content = one.read_bytes(), two.read_bytes()
    one.write_bytes(content[1])
    two.write_bytes(content[0])
    fewer = train(replace(options, bits=(8,)), workspace)  # also where all descriptors are stored
    assert fewer.photos == whole.photos - 2
    (note,) = [note for note in fewer.notes if "changed" in note]
    assert note == (
        "2 photos have changed since the pairs were made (p0v0.png, p1v0.png); left out, build the pairs again"
    )
    for path in copies.glob("*.png"):
        path.write_bytes(path.read_bytes() + b"edited")
    with pytest.raises(UserError, match="photos have changed since the pairs were made"):
        train(replace(options, bits=(8,)), workspace)
    assert load_model(workspace / "model", "cpu").fingerprint == fewer.fingerprint
