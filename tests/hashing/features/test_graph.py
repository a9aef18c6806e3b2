"""A foreign ONNX graph as the backbone: what it is given, a model of it without torch, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import write_pictures

from hashpipe.common.errors import UserError
from hashpipe.hashing.data.images import from_folder_or_list, from_paths
from hashpipe.hashing.encoding.encoder import open_encoder
from hashpipe.hashing.features.descriptors import make_describer, restore_describer
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.models.network import load_model
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.train import train

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

DTYPES = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}
WEIGHT = np.random.default_rng(0).normal(size=(12, 3, 4, 4)).astype(np.float32)


def graph(path: Path, layout="NCHW", dtype="float32", side=None, outputs="vector", extra=0, metadata=None, scale=1.0):
    """A convolution of 4 x 4 pixels, and of its maps the mean; or the maps; or both."""
    sides = ["height", "width"] if side is None else [side, side]
    shape = ["batch", 3, *sides] if layout == "NCHW" else ["batch", *sides, 3]
    inputs = [helper.make_tensor_value_info("photo", DTYPES[dtype], shape)]
    inputs += [helper.make_tensor_value_info(f"more{n}", TensorProto.FLOAT, [1]) for n in range(extra)]
    nodes = [helper.make_node("Cast", ["photo"], ["x"], to=TensorProto.FLOAT)]
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", ["x"], ["y"], perm=[0, 3, 1, 2]))
    nodes.append(helper.make_node("Conv", ["y" if layout == "NHWC" else "x", "w"], ["maps"], strides=[4, 4]))
    nodes.append(helper.make_node("ReduceMean", ["maps"], ["vector"], axes=[2, 3], keepdims=0))
    kinds = {"maps": ["batch", 12, "h", "w"], "vector": ["batch", 12]}
    names = ["maps", "vector"] if outputs == "both" else [outputs]
    made = helper.make_graph(
        nodes,
        "g",
        inputs,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, kinds[name]) for name in names],
        [numpy_helper.from_array(WEIGHT * np.float32(scale), "w")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("graph") / "photos", 10)


def options(path: Path, **changes) -> BackboneOptions:
    return BackboneOptions(f"onnx:{path}", device="cpu", **changes)


def by_hand(pixels: np.ndarray, mean, std, largest: float) -> np.ndarray:
    x = (pixels.astype(np.float64) * largest / 255 - np.array(mean)) / np.array(std)
    rows, columns = x.shape[0] // 4, x.shape[1] // 4
    total = np.zeros(12)
    for row in range(rows):
        for column in range(columns):
            cell = x[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            total += np.einsum("yxc,kcyx->k", cell, WEIGHT.astype(np.float64))
    return total / np.linalg.norm(total)


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1.0)
RAW = ((0, 0, 0), (1, 1, 1), 255.0)


@pytest.mark.parametrize("outputs", ["vector", "maps", "both"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16"])
def test_photos_reach_the_graph_as_it_wants_them(photos, tmp_path, layout, dtype, outputs):
    path = graph(tmp_path / "g.onnx", layout, dtype, None, outputs)
    picture = Image.open(sorted(photos.iterdir())[0]).convert("RGB").resize((96, 80))
    picture.save(tmp_path / "a.png")
    found = make_describer(options(path, image_size=96), from_paths([])).describe(from_paths([tmp_path / "a.png"]))
    wanted = by_hand(np.asarray(picture), *(RAW if dtype == "uint8" else IMAGENET))
    np.testing.assert_allclose(found.values[0], wanted, atol=2e-3 if dtype == "float16" else 1e-5)


def test_metadata_say_how_and_options_say_it_louder(photos, tmp_path):
    path = graph(tmp_path / "g.onnx", metadata={"mean": "[10, 20, 30]", "std": "[2, 2, 2]", "range": "255"})
    picture = Image.open(sorted(photos.iterdir())[0]).convert("RGB").resize((96, 80))
    picture.save(tmp_path / "a.png")
    listed = from_paths([tmp_path / "a.png"])
    one = make_describer(options(path, image_size=96), listed).describe(listed).values[0]
    np.testing.assert_allclose(one, by_hand(np.asarray(picture), (10, 20, 30), (2, 2, 2), 255.0), atol=1e-5)
    two = make_describer(options(path, image_size=96, graph_mean=(0.0, 0.0, 0.0)), listed).describe(listed).values[0]
    np.testing.assert_allclose(two, by_hand(np.asarray(picture), (0, 0, 0), (2, 2, 2), 255.0), atol=1e-5)


def test_a_model_keeps_the_graph_and_encodes_without_torch(photos, tmp_path):
    path = graph(tmp_path / "g.onnx", "NHWC", "uint8", 64)
    wanted = TrainOptions((12,), photos=photos, describe=options(path), steps=4, batch_others=8)
    train(wanted, tmp_path / "ws")
    path.unlink()
    model = load_model(tmp_path / "ws" / "model")
    assert model.describer.config["image_size"] == 64
    listed = from_folder_or_list(photos)
    described = model.describer.describe(listed)
    encoder = open_encoder(tmp_path / "ws" / "model")
    u = encoder.outputs(listed).u
    np.testing.assert_allclose(u, model.codes_input(described.values, 12), atol=1e-5)
    again = restore_describer(model.describer.config, model.describer.tensors, "cpu")
    assert again.fingerprint == model.describer.fingerprint
    assert "ONNX graph g.onnx" in (tmp_path / "ws" / "model" / "README.md").read_text()
    script = (
        "import sys\nfrom hashpipe.hashing.encoding.encoder import open_encoder\n"
        "from hashpipe.hashing.data.images import from_folder_or_list\n"
        "u = open_encoder(sys.argv[1]).outputs(from_folder_or_list(sys.argv[2])).u\n"
        "print(u.shape, 'torch' in sys.modules, 'timm' in sys.modules)"
    )
    command = [sys.executable, "-c", script, tmp_path / "ws" / "model", photos]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == "(10, 12) False False", done.stderr


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ({"extra": 1}, r"the graph has 2 inputs \(photo, more0\)"),
        ({"scale": float("nan")}, "gives values that are not finite"),
    ],
)
def test_graphs_that_are_refused(tmp_path, kind, message):
    with pytest.raises(UserError, match=message):
        make_describer(options(graph(tmp_path / "g.onnx", **kind)), from_paths([]))


def test_other_misuse_is_one_sentence(photos, tmp_path):
    path = graph(tmp_path / "g.onnx", side=64)
    listed = from_paths([])
    with pytest.raises(UserError, match="takes photos of 64 pixels only"):
        make_describer(options(path, image_size=96), listed)
    with pytest.raises(UserError, match="brings its weights"):
        make_describer(options(path, weights="a.pth"), listed)
    with pytest.raises(UserError, match="is no file"):
        make_describer(options(tmp_path / "none.onnx"), listed)
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="the graph cannot be opened"):
        make_describer(options(tmp_path / "cut.onnx"), listed)
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    onnx.save(model, str(tmp_path / "grey.onnx"))
    with pytest.raises(UserError, match=r"must be photos|cannot be opened"):
        make_describer(options(tmp_path / "grey.onnx"), listed)
