"""One photo, one code: engines, quality, what does not depend on what."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import network_model, vlad_model, write_pictures

from hashpipe.common.errors import UserError
from hashpipe.hashing.codes import packing
from hashpipe.hashing.data import images
from hashpipe.hashing.encoding import engines
from hashpipe.hashing.encoding.encoder import open_encoder
from hashpipe.hashing.features.quality import LOW, quality
from hashpipe.hashing.models.model_folder import descriptors_fingerprint, read_model
from hashpipe.hashing.models.network import load_model


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"), 10)


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    return network_model(tmp_path_factory.mktemp("network") / "model", (12, 16, 80))


@pytest.fixture(scope="module")
def vlad(tmp_path_factory, pictures) -> Path:
    return vlad_model(tmp_path_factory.mktemp("vlad") / "model", pictures)


@pytest.mark.parametrize("kind", ["network", "vlad"])
def test_outputs_are_those_of_the_model_that_was_trained(kind, pictures, request):
    folder = request.getfixturevalue(kind)
    listed = images.from_folder_or_list(pictures)
    encoder = open_encoder(folder)
    found = encoder.outputs(listed)
    model = load_model(folder, "cpu")
    right = model.codes_input(model.describer.describe(listed).values, encoder.space.bits)
    assert found.ok.all()
    assert found.u.dtype == np.float32
    np.testing.assert_allclose(found.u, right, atol=1e-4 * np.abs(right).max())
    assert len(np.unique(found.u, axis=0)) == len(listed)
    wanted = packing.pack(found.u, model.thresholds[encoder.space.bits])
    np.testing.assert_array_equal(encoder.codes(found.u), wanted)
    assert encoder.space.model == model.fingerprint


def test_a_photo_has_one_code_whoever_is_beside_it(network, pictures):
    listed = images.from_folder_or_list(pictures)
    encoder = open_encoder(network, threads=3)
    together = encoder.outputs(listed).u
    np.testing.assert_array_equal(encoder.outputs(listed.subset([7, 2])).u, together[[7, 2]])
    np.testing.assert_array_equal(open_encoder(network, threads=1).outputs(listed).u, together)


def test_batches_as_on_a_gpu_give_the_same_rows(network, pictures):
    from dataclasses import replace

    listed = images.from_paths([*sorted(pictures.glob("*.png")), pictures / "none.png"])
    encoder = open_encoder(network, runtime="torch")
    parts = engines.torch_network(read_model(network), 16, "cpu")
    batched = replace(encoder, engine=replace(encoder.engine, gpu=parts))
    one, two = encoder.outputs(listed), batched.outputs(listed)
    np.testing.assert_allclose(two.u, one.u, atol=1e-4 * np.abs(one.u).max())
    assert two.reasons == one.reasons
    np.testing.assert_array_equal(two.quality, one.quality)


def test_default_length_is_the_longest_of_at_most_64_bits(network):
    assert open_encoder(network).space.bits == 16
    assert open_encoder(network, bits=80).space.bits == 80
    with pytest.raises(UserError, match=r"--bits 24 is not one of the model's code lengths \(12, 16, 80\)"):
        open_encoder(network, bits=24)


def test_thresholds_are_part_of_the_space(network):
    own = open_encoder(network).space
    other = open_encoder(network, thresholds=np.full(16, 0.5)).space
    assert own.fingerprint != other.fingerprint
    for bad in (np.zeros(12), np.full(16, np.nan)):
        with pytest.raises(UserError, match="do not fit codes of 16 bits"):
            open_encoder(network, thresholds=bad)


def test_photos_that_cannot_be_read_keep_their_row(network, vlad, pictures, tmp_path):
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "cut.png").write_bytes((pictures / "001.png").read_bytes()[:300])
    Image.new("RGB", (90, 90), (120, 120, 120)).save(tmp_path / "flat.png")
    paths = [tmp_path / "text.jpg", pictures / "003.png", tmp_path / "gone.jpg", tmp_path / "cut.png"]
    found = open_encoder(network).outputs(images.from_paths([*paths, tmp_path / "flat.png"]))
    assert found.ok.tolist() == [False, True, False, False, True]
    assert not found.u[[0, 2, 3]].any()
    assert found.reasons[0] == "not a photo in a known format"
    assert "no such file" in found.reasons[2]
    assert found.quality[4] < LOW < found.quality[1]
    nothing = open_encoder(vlad).outputs(images.from_paths([tmp_path / "flat.png"]))
    assert nothing.reasons == ("no features found in it",)


def test_no_photos(network):
    found = open_encoder(network).outputs(images.from_paths([]))
    assert (found.u.shape, found.ok.shape, found.reasons) == ((0, 16), (0,), ())


def test_quality_of_plain_and_rich_pictures():
    generator = np.random.default_rng(0)
    rich = Image.fromarray(generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)).resize((600, 400))
    ramp = Image.fromarray(np.tile(np.linspace(0, 40, 400).astype(np.uint8), (300, 1)))
    assert quality(rich) == 1.0
    assert quality(Image.new("RGB", (600, 400), (10, 200, 30))) == 0.0
    assert quality(ramp) < LOW
    assert quality(rich.resize((24, 16))) < LOW
    values = [quality(rich.resize((3 * side, 2 * side))) for side in (16, 24, 32, 40, 100)]
    assert values == sorted(values)
    assert quality(Image.new("L", (16, 16))) == 0.0


def test_the_model_is_read_without_torch_as_with_it(network, vlad):
    for folder in (network, vlad):
        stored, loaded = read_model(folder), load_model(folder, "cpu")
        assert (stored.fingerprint, stored.bits) == (loaded.fingerprint, loaded.bits)
        assert descriptors_fingerprint(stored) == loaded.describer.fingerprint
        x = np.random.default_rng(0).normal(size=(3, len(loaded.heads[12].arrays["mean"]))).astype(np.float32)
        np.testing.assert_array_equal(stored.head(12)(x), loaded.heads[12](x))
        np.testing.assert_array_equal(stored.thresholds(12), loaded.thresholds[12])


def test_models_that_cannot_be_opened(network, tmp_path):
    with pytest.raises(UserError, match="holds no model yet"):
        open_encoder(tmp_path)

    def copy(name: str, file: str, change) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for one in ("config.json", "model.safetensors"):
            content = (network / one).read_bytes()
            (folder / one).write_bytes(change(content) if one == file else content)
        return folder

    with pytest.raises(UserError, match="cannot be read"):
        open_encoder(copy("cut", "model.safetensors", lambda content: content[:1000]))
    with pytest.raises(UserError, match="version 9"):
        open_encoder(copy("later", "config.json", lambda c: json.dumps({**json.loads(c), "model_version": 9}).encode()))
    with pytest.raises(UserError, match="mixes files"):
        open_encoder(copy("mixed", "model.safetensors", lambda content: content[:-4] + b"\0\0\0\1"))
    with pytest.raises(UserError, match="--runtime tensorrt is unknown"):
        open_encoder(network, runtime="tensorrt")


def test_importing_the_encoder_brings_nothing_heavy():
    heavy = "torch", "faiss", "pycolmap", "onnxruntime", "openvino", "sklearn", "matplotlib"
    script = f"import sys, hashpipe.hashing.encoding.encode; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
