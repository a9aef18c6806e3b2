"""The exported graph: the same codes under ONNX Runtime and OpenVINO, and what travels in the file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import network_model, vlad_model, workspace_with, write_pictures

from hashpipe.common.errors import UserError
from hashpipe.common.hamming import hamming
from hashpipe.hashing.data import images
from hashpipe.hashing.encoding import runtimes
from hashpipe.hashing.encoding.encoder import open_encoder
from hashpipe.hashing.encoding.options import OnnxOptions
from hashpipe.hashing.export.export_onnx import export_onnx
from hashpipe.hashing.models.model_folder import read_model
from hashpipe.pairgen.photos.load import load_upright

onnx = pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"), 12)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return network_model(tmp_path_factory.mktemp("network") / "model")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, model) -> Path:
    return workspace_with(tmp_path_factory.mktemp("work") / "ws", model)


@pytest.fixture(scope="module")
def exported(workspace):
    return export_onnx(workspace, OnnxOptions())


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_codes_are_those_of_torch(runtime, exported, workspace, pictures):
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[runtime])
    listed = images.from_folder_or_list(pictures)
    encoder = open_encoder(workspace / "model", runtime=runtime, threads=2)
    found, right = encoder.outputs(listed), open_encoder(workspace / "model", runtime="torch").outputs(listed)
    np.testing.assert_allclose(found.u, right.u, atol=1e-4 * np.abs(right.u).max())
    np.testing.assert_array_equal(found.quality, right.quality)
    apart = [
        hamming(one, other[None])[0] for one, other in zip(encoder.codes(found.u), encoder.codes(right.u), strict=True)
    ]
    assert sum(apart) <= 1
    np.testing.assert_array_equal(encoder.outputs(listed.subset([5])).u[0], found.u[5])
    assert encoder.engine.about["runtime"] == runtime
    assert exported.flips[runtime].bit_flip_rate <= 0.01
    assert 0 <= exported.flips[runtime].most_apart < 1e-3 * np.abs(right.u).max()


def test_the_file_alone_is_enough_to_make_codes(exported, workspace, pictures):
    """What a stranger does who has the file and its metadata only."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(exported.file), providers=["CPUExecutionProvider"])
    meta = session.get_modelmeta().custom_metadata_map
    assert meta["model"] == read_model(workspace / "model").fingerprint
    assert "longest side is 96" in meta["preprocessing"]
    listed = images.from_folder_or_list(pictures)
    encoder = open_encoder(workspace / "model", runtime="torch")
    right = encoder.codes(encoder.outputs(listed).u)
    side, found = int(meta["image_size"]), []
    for path in sorted(pictures.glob("*.png")):
        picture = Image.open(path).convert("RGB")
        scale = side / max(picture.size)
        size = (round(picture.width * scale), round(picture.height * scale))
        shrunk = picture.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
        u = session.run(["u"], {"image": np.asarray(shrunk)[None]})[0]
        found.append(np.packbits(u >= np.array(json.loads(meta["thresholds"]), np.float32), axis=1, bitorder="little"))
    apart = [hamming(one, other[None])[0] for one, other in zip(np.concatenate(found), right, strict=True)]
    assert sum(apart) <= 2  # resizing is described in words, its last grey level is free


def test_a_batch_goes_through_at_once(exported):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(exported.file), providers=["CPUExecutionProvider"])
    batch = np.random.default_rng(0).integers(0, 256, (3, 70, 96, 3), dtype=np.uint8)
    together = session.run(["u"], {"image": batch})[0]
    single = np.concatenate([session.run(["u"], {"image": one[None]})[0] for one in batch])
    np.testing.assert_allclose(together, single, atol=1e-4 * np.abs(single).max())
    assert together.shape == (3, exported.bits)


def test_the_result_says_what_was_measured(exported):
    result = json.loads(json.dumps(exported.as_json(), default=str))
    assert (result["bits"], result["image_size"]) == (16, 96)
    for name, one in result["flips"].items():
        assert one["pictures"] == "generated pictures"
        assert f"{name:<10} {one['version']}" in exported.as_text()
    assert onnx.load(str(exported.file)).graph.input[0].name == "image"


def test_auto_takes_what_was_measured_and_only_that(model, workspace, exported):
    stored = read_model(workspace / "model")
    assert runtimes.choose(stored, 16, "auto") == next(name for name in runtimes.GRAPHS if name in exported.flips)
    assert runtimes.choose(stored, 12, "auto") == "torch"  # this length was never exported
    assert runtimes.choose(read_model(model), 16, "auto") == "torch"


def test_auto_refuses_a_runtime_that_flips_bits_and_a_graph_that_was_changed(exported, workspace, tmp_path):
    shutil.copytree(workspace / "model", tmp_path / "model")
    stored = read_model(tmp_path / "model")
    known = runtimes.known_flips(stored, 16)
    record = runtimes.graph_path(stored, 16).with_suffix(".json")
    content = json.loads(record.read_text())
    for one in content["runtimes"].values():
        one["bit_flip_rate"] = 0.02
    record.write_text(json.dumps(content))
    assert runtimes.choose(stored, 16, "auto") == "torch"
    again = runtimes.prepare(stored, 16, [], again=True)
    assert {name: one.bit_flip_rate for name, one in again.items()} == {
        n: one.bit_flip_rate for n, one in known.items()
    }
    assert runtimes.choose(stored, 16, "auto") in known
    graph = runtimes.graph_path(stored, 16)
    graph.write_bytes(graph.read_bytes()[:-1])
    assert runtimes.choose(stored, 16, "auto") == "torch"


def test_measured_on_the_photos_that_can_be_read(exported, workspace, pictures, tmp_path):
    shutil.copytree(workspace / "model", tmp_path / "model")
    stored = read_model(tmp_path / "model")
    paths = [pictures / "none.png", *sorted(pictures.glob("*.png"))[:3]]
    known = runtimes.prepare(
        stored, 16, [lambda side, path=path: load_upright(path, side) for path in paths], again=True
    )
    assert {(one.pictures, one.photos) for one in known.values()} == {("photos", 3)}


def test_exported_runtimes_do_without_torch(exported, workspace, pictures):
    script = (
        "import sys; from pathlib import Path; from hashpipe.hashing.data import images;"
        "from hashpipe.hashing.encoding.encode import open_encoder;"
        f"encoder = open_encoder(Path({str(workspace / 'model')!r}));"
        f"found = encoder.outputs(images.from_folder_or_list(Path({str(pictures)!r})));"
        "print(encoder.engine.name, found.ok.all(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] in runtimes.GRAPHS
    assert done.stdout.split()[1:] == ["True", "False"]


def test_what_cannot_be_exported(model, pictures, workspace, tmp_path):
    vlad = workspace_with(tmp_path / "vlad", vlad_model(tmp_path / "model", pictures))
    with pytest.raises(UserError, match="VLAD of SIFT, which is not a network"):
        export_onnx(vlad, OnnxOptions())
    with pytest.raises(UserError, match="--bits 24 is not one"):
        export_onnx(workspace, OnnxOptions(bits=24))
    with pytest.raises(UserError, match="not a file in an existing folder"):
        export_onnx(workspace, OnnxOptions(output=tmp_path / "none" / "hash.onnx"))
    with pytest.raises(UserError, match="not a hashpipe workspace"):
        export_onnx(tmp_path / "nothing", OnnxOptions())
    before = (workspace / "model" / "config.json").read_bytes()
    with pytest.raises(UserError, match=r"-o .*config.json lies in the model's folder"):
        export_onnx(workspace, OnnxOptions(output=workspace / "model" / "config.json"))
    assert (workspace / "model" / "config.json").read_bytes() == before
    with pytest.raises(UserError, match=r"exists and its name does not end in .onnx"):
        export_onnx(workspace, OnnxOptions(output=workspace / "workspace.json"))


def test_without_the_extra(monkeypatch, model, tmp_path):
    stored = read_model(workspace_with(tmp_path / "ws", model) / "model")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install 'hashpipe-photos\[onnx\]'"):
        runtimes.prepare(stored, 16, [])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"--runtime onnx needs .*pip install 'hashpipe-photos\[onnx\]'"):
        open_encoder(stored.folder, runtime="onnx")


@pytest.mark.slow
@pytest.mark.parametrize(
    "net", ["resnet18", "squeezenet1_1", "efficientnet_b0", "vit_b_16", "convnext_tiny", "densenet121"]
)
def test_other_families_of_networks(net, tmp_path, pictures):
    workspace = workspace_with(tmp_path / "ws", network_model(tmp_path / "model", (16,), net=net))
    found = export_onnx(workspace, OnnxOptions())
    assert max(one.bit_flip_rate for one in found.flips.values()) <= 0.01
