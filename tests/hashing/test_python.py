"""docs/python.md runs as it stands; all public names are there, and importing the package imports nothing heavy."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import toys
from PIL import Image

import hashpipe
import hashpipe.hashing
from hashpipe.common.errors import UserError
from hashpipe.common.files import open_workspace
from hashpipe.pairgen.pairs.pairset import write_pairset

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)
OTHERS = ("lightning", "pytorch_metric_learning")  # libraries of the extra dev
PLACES, VIEWS = 5, 6


def write_places(folder: Path) -> None:
    """Photos of five places, one texture each under noise, and a workspace whose pairs know them."""
    draw, names, place = np.random.default_rng(0), [], []
    (folder / "photos").mkdir()
    for number in range(PLACES):
        texture = draw.integers(0, 255, (15, 20, 3), dtype=np.uint8)
        for view in range(VIEWS):
            pixels = np.asarray(Image.fromarray(texture).resize((160, 120)), np.int16)
            pixels = np.clip(pixels + draw.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)
            names.append(f"{number}{view}.png")
            Image.fromarray(pixels).save(folder / "photos" / names[-1])
            place.append(number)
    pairs = [(i, j, 1 if place[i] == place[j] else -1) for i in range(len(place)) for j in range(i + 1, len(place))]
    photos = {
        "place": place,
        "path": names,
        "split": ["test" if number == PLACES - 1 else "train" for number in place],
        "query": [view == 0 for _ in range(PLACES) for view in range(VIEWS)],
        "width": [160] * len(place),
        "height": [120] * len(place),
    }
    made = toys.pairset(photos, pairs, root=folder / "photos")
    workspace = open_workspace(folder / "workspace", create=True)
    (workspace / "pairs").mkdir()
    write_pairset(workspace / "pairs", {"parameters": {}}, made.photos, made.pairs, made.relations)


def run(blocks: list[str]) -> dict:
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


def quick(block: str) -> str:
    """The block with fewer steps of training."""
    return block.replace('hp.train("workspace", ', 'hp.train("workspace", steps=30, ')


def test_the_page_runs_on_known_pairs(tmp_path, monkeypatch, capsys):
    """All of it but build_pairs, whose result stands there already, and with fewer steps, for time."""
    monkeypatch.chdir(tmp_path)
    write_places(tmp_path)
    first, rest = BLOCKS[0], BLOCKS[1:]
    assert "build_pairs" in first
    needed = [block for block in rest if not any(name in block for name in OTHERS)]
    assert len(needed) == len(rest) - 2
    assert [quick(block) for block in needed] != needed
    names = run(["import hashpipe as hp\n", *map(quick, needed)])
    assert names["packed"].shape == (PLACES * VIEWS, 8)
    assert names["trained"].fingerprint in capsys.readouterr().out
    assert names["score"].rows
    assert names["codes"].codes.shape == (PLACES * VIEWS, 8)
    assert names["alone"].bits == names["again"].bits == (32,)
    assert names["found"].hits[0][0].distance == 0
    assert names["found"].hits[0][0].path.endswith(names["codes"].paths[0])
    assert names["rows"][:, 0].tolist() == [0, 1]
    assert (tmp_path / "workspace" / "groups" / "groups.html").exists()
    assert (tmp_path / "workspace" / "export" / "csv" / "codes.csv").exists()
    assert names["bits"].shape == (len(names["data"]), 32)


@pytest.mark.parametrize("library", OTHERS)
def test_the_page_runs_with_other_libraries(library, tmp_path, monkeypatch):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed: pip install '.[dev]'")
    monkeypatch.chdir(tmp_path)
    write_places(tmp_path)
    start = next(at for at, block in enumerate(BLOCKS) if "PairDataset" in block)
    (block,) = [block for block in BLOCKS if library in block]
    names = run(["import torch\nimport hashpipe as hp\n", BLOCKS[start], block])
    if library == "lightning":
        assert names["trainer"].global_step == 5
    else:
        assert len(names["found"]) in (3, 4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_page_runs_from_photos_on(tmp_path, monkeypatch):
    """With 3D: photos of three rendered places."""
    from hashpipe.pairgen.synthetic.demo_photos import write_demo_photos

    monkeypatch.chdir(tmp_path)
    write_demo_photos(tmp_path / "photos", places=3, views=8, distractors=3)
    names = run([quick(block) for block in BLOCKS if not any(name in block for name in OTHERS)])
    assert names["built"].pairs["covisible"] > 0
    assert names["score"].rows


def test_the_page_lists_all_public_names():
    listed = PAGE.read_text(encoding="utf-8").partition("## Names")[2]
    assert set(re.findall(r"`(\w+)`", listed)) == set(hashpipe.__all__) - {"__version__"}


@pytest.mark.parametrize("package", [hashpipe, hashpipe.hashing], ids=["hashpipe", "hashpipe.hashing"])
def test_names_are_there_and_importing_is_light(package):
    for name in set(package.__all__) - {"__version__"}:
        assert getattr(package, name).__name__.rpartition(".")[2] == name
    assert set(package.__all__) <= set(dir(package))
    heavy = ["torch", "faiss", "numpy", "scipy", "pyarrow", "matplotlib", "PIL"]
    code = f"import sys, {package.__name__}; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_type_checkers_see_the_names_that_are_there():
    tree = ast.parse(Path(hashpipe.__file__).read_text(encoding="utf-8"))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == {name: f"hashpipe.{where}" for name, where in hashpipe._WHERE.items()}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        hashpipe.nonsense  # noqa: B018
    assert hashpipe.__version__ == version("hashpipe-photos")


# -- the functions -----------------------------------------------------------------------------------------------------


def test_what_is_typed_wrongly_is_one_sentence(tmp_path):
    for call, says in (
        (lambda: hashpipe.train("w", bit=64), r"There is no option bit; did you mean bits\?"),
        (lambda: hashpipe.train("w", bits="many"), "--bits is 'many'; give a whole number"),
        (lambda: hashpipe.train("w", objective="joint", margn=0.2), "There is no option margn"),
        (lambda: hashpipe.train("w", margin="wide"), "--margin is 'wide'; give a number"),
        (lambda: hashpipe.train("w", "other"), "Two workspaces were named, w and other"),
        (lambda: hashpipe.train(bits=64), "No workspace was named"),
        (lambda: hashpipe.train(hashpipe.EvalOptions(), "w"), "Options are EvalOptions; give TrainOptions"),
        (lambda: hashpipe.evaluate("w", baselines="itk"), "--baselines has 'itk'"),
        (lambda: hashpipe.search("a.jpg", "w", runtime="open"), "--runtime is 'open'; did you mean openvino"),
        (lambda: hashpipe.search((), "w"), "No photo to search for"),
        (lambda: hashpipe.export("w", to="excel"), "--to is 'excel'; choose from faiss"),
        (lambda: hashpipe.build_pairs(tmp_path, "w", seed=-1), "--seed is -1"),
    ):
        with pytest.raises(UserError, match=says):
            call()


def test_old_calls_with_dataclasses_mean_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_places(tmp_path)
    describe = hashpipe.BackboneOptions(backbone="vlad")
    old = hashpipe.train(hashpipe.TrainOptions(bits=(16,), describe=describe, steps=5), Path("workspace"))
    new = hashpipe.train("workspace", bits="16", backbone="vlad", steps="5")
    assert old.fingerprint == new.fingerprint
    other = hashpipe.train("workspace", bits=16, backbone="vlad", steps=5, temperature=0.5)
    assert other.fingerprint != old.fingerprint


# -- pairs for torch.utils.data ----------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path):
    write_places(tmp_path)
    return hashpipe.PairDataset(tmp_path / "workspace", size=32)


def test_the_data_set_holds_photos_and_what_is_known_of_them(data):
    assert len(data) == PLACES * (VIEWS - 1)  # without queries
    pixels, index = data[3]
    assert (tuple(pixels.shape), index) == ((3, 32, 32), 3)
    pairs, labels = data.known([0, 1, 5, 20])  # two of one place, one of another, one of the split test
    found = {tuple(pair): label for pair, label in zip(pairs.tolist(), labels.tolist(), strict=True)}
    assert found == {(0, 1): 1, (0, 2): -1, (1, 2): -1}
    stacked, pairs, labels = data.collate([data[0], data[1], data[5]])
    assert (tuple(stacked.shape), pairs.tolist(), labels.tolist()) == (
        (3, 3, 32, 32),
        [[0, 1], [0, 2], [1, 2]],
        [1, -1, -1],
    )
    plain = hashpipe.PairDataset(data.paths[0].parents[1] / "workspace", size=32, transform=lambda photo: photo.size)
    assert plain[0][0] == (43, 32)  # decoded small, shorter side first


def test_a_photo_that_has_changed_is_named(data):
    data.paths[0].write_bytes(b"other")
    with pytest.raises(UserError, match=r"01\.png cannot be learnt from .*changed"):
        data[0]
    with pytest.raises(UserError, match="splits has 'all'; choose from train, val, test"):
        hashpipe.PairDataset(data.paths[0].parents[1] / "workspace", splits=("all",))


def test_batches_hold_pairs_and_follow_from_seed_and_epoch(data):
    batches = hashpipe.PairBatchSampler(data, similar=3, others=4, batches=6, seed=1)
    first, second = list(batches), list(batches)
    assert len(first) == len(batches) == 6
    assert first != second
    batches.set_epoch(0)
    assert list(batches) == first
    assert list(hashpipe.PairBatchSampler(data, similar=3, others=4, batches=6, seed=2)) != first
    for rows in first:
        assert len(set(rows)) == len(rows) <= 10
        assert (data.known(rows)[1] > 0).any()
    apart = hashpipe.PairBatchSampler(data, similar=0, dissimilar=2, others=0, batches=4)
    assert all((data.known(rows)[1] < 0).any() for rows in apart)
    with pytest.raises(UserError, match="The batch would be empty"):
        hashpipe.PairBatchSampler(data, similar=0, others=0)
