"""Networks of timm: maps and tokens of many families, where weights come from, a model of one, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from small_models import write_pictures

from hashpipe.common.errors import UserError
from hashpipe.hashing.data.images import from_folder_or_list
from hashpipe.hashing.encoding.encoder import open_encoder
from hashpipe.hashing.features import preprocess, trunks
from hashpipe.hashing.features.descriptors import make_describer, restore_describer
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.models.network import load_model
from hashpipe.hashing.training.options import FinetuneOptions, TrainOptions
from hashpipe.hashing.training.train import train

timm = pytest.importorskip("timm")
from hashpipe.hashing.features.timm_trunks import TimmTrunk  # noqa: E402

CONV, VIT, NHWC = "mobilenetv3_small_050", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"
# name, what its features are, descriptors' length, sides that a photo of 96 x 130 has, pooling by default
FAMILIES = [
    ("resnet18", "maps", 512, (96, 130), "gem"),
    (CONV, "maps", 288, (96, 130), "gem"),
    ("efficientnet_lite0", "maps", 1280, (96, 130), "gem"),
    ("regnetx_002", "maps", 368, (96, 130), "gem"),
    ("repvgg_a0", "maps", 1280, (96, 130), "gem"),
    ("mobilevit_xxs", "maps", 320, (96, 130), "spoc"),
    ("convnext_atto", "maps", 320, (96, 130), "spoc"),
    (NHWC, "maps", 768, (96, 128), "spoc"),
    (VIT, "tokens", 192, (96, 128), "cls"),
    ("deit_tiny_distilled_patch16_224", "tokens", 192, (96, 128), "cls"),
    ("eva02_tiny_patch14_224", "tokens", 192, (98, 126), "cls"),
    ("vit_small_patch16_dinov3", "tokens", 384, (96, 128), "cls"),
    ("xcit_nano_12_p16_224", "tokens", 128, (224, 224), "cls"),
    ("mixer_s32_224", "tokens", 512, (224, 224), "mean"),
    ("levit_128s", "tokens", 384, (224, 224), "mean"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Pictures, and files of random weights with a classifier in them."""
    made = tmp_path_factory.mktemp("timm")
    write_pictures(made / "photos", 10)
    for name in (CONV, VIT):
        torch.manual_seed(0)
        save_file(timm.create_model(name).state_dict(), made / f"{name}.safetensors")
    return made


def options(folder: Path, name: str, **changes) -> BackboneOptions:
    return BackboneOptions(f"timm:{name}", str(folder / f"{name}.safetensors"), image_size=96, device="cpu", **changes)


@pytest.mark.parametrize(("name", "kind", "length", "sides", "pooling"), FAMILIES)
def test_families_have_maps_or_tokens(name, kind, length, sides, pooling):
    trunk = TimmTrunk(f"timm:{name}", None).eval()
    square = trunk.size is not None
    picture = preprocess.fit(lambda side: Image.new("RGB", (130, 96)), trunk.size or 130, square, trunk.multiple)
    assert picture.size == sides[::-1]
    images = torch.rand(2, 3, *sides)
    with torch.inference_mode():
        both, alone, maps = trunk(images), trunk(images[1:]), trunk.maps(images)
    assert (trunk.tokens, trunk.pooling) == (kind == "tokens", pooling)
    assert both.shape == (2, length)
    assert maps.shape[:2] == (2, length)
    torch.testing.assert_close(both.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=0)
    assert (both[0] - both[1]).abs().max() > 1e-9


def test_tokens_are_pooled_without_those_that_lie_on_no_part_of_the_photo():
    trunk = TimmTrunk("timm:vit_small_patch16_dinov3", "cls+mean").eval()  # a class token and four registers
    images = torch.rand(1, 3, 32, 48)
    with torch.inference_mode():
        tokens, found, maps = trunk.net.forward_features(images)[0], trunk(images)[0], trunk.maps(images)[0]
    assert len(tokens) == 1 + 4 + 2 * 3
    mean = sum(tokens[5 + at] for at in range(6)) / 6
    expected = torch.cat([tokens[0] / tokens[0].norm(), mean / mean.norm()]) / 2**0.5
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(maps[:, 1, 2], tokens[5 + 1 * 3 + 2])  # second row, third column


def test_pixels_are_normalised_as_the_weights_want_it_and_the_model_keeps_how(folder):
    photos = from_folder_or_list(folder / "photos")
    describer = make_describer(options(folder, VIT), photos)
    assert describer.config["mean"] == [0.5] * 3
    assert describer.config["multiple"] == 16
    net = timm.create_model(VIT, num_classes=0, dynamic_img_size=True).eval()
    net.load_state_dict(load_file(folder / f"{VIT}.safetensors"), strict=False)
    picture = photos.open(0, 96)
    sides = tuple(16 * round(side * 96 / max(picture.size) / 16) for side in picture.size)
    wide = np.array(picture.resize(sides, Image.Resampling.BICUBIC))
    x = (torch.from_numpy(wide).permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5
    with torch.inference_mode():
        token = net.forward_features(x)[0, 0]
    found = describer.describe(photos.subset([0])).values[0]
    np.testing.assert_allclose(found, token / token.norm(), atol=1e-4)
    again = restore_describer(describer.config, describer.tensors, "cpu")
    assert again.fingerprint == describer.fingerprint
    np.testing.assert_array_equal(again.describe(photos.subset([0])).values[0], found)


@pytest.mark.parametrize("name", [CONV, pytest.param(VIT, marks=pytest.mark.slow)])
def test_a_model_gives_the_same_codes_under_every_runtime(folder, tmp_path, name):
    wanted = TrainOptions((16,), photos=folder / "photos", describe=options(folder, name), steps=4, batch_others=8)
    train(wanted, tmp_path / "ws")
    model = load_model(tmp_path / "ws" / "model")
    photos = from_folder_or_list(folder / "photos")
    right = open_encoder(tmp_path / "ws" / "model", runtime="torch")
    u = right.outputs(photos).u
    described = model.describer.describe(photos)
    np.testing.assert_allclose(u, model.codes_input(described.values, 16), atol=1e-4)
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    found = open_encoder(tmp_path / "ws" / "model", runtime="onnx")
    np.testing.assert_allclose(found.outputs(photos).u, u, atol=1e-4)
    np.testing.assert_array_equal(found.codes(found.outputs(photos).u), right.codes(u))


def test_a_network_is_fine_tuned(folder, tmp_path):
    tune = FinetuneOptions("last", finetune_steps=2, finetune_size=64)
    wanted = TrainOptions((16,), photos=folder / "photos", describe=options(folder, CONV), steps=4, batch_others=8)
    train(replace(wanted, tune=tune), tmp_path / "ws")
    learnt = load_model(tmp_path / "ws" / "model").describer.tensors
    given = make_describer(options(folder, CONV), from_folder_or_list(folder / "photos")).tensors
    changed = [name for name in given if not torch.equal(given[name], learnt[name])]
    assert changed
    assert len(changed) < len(given)


def test_a_folder_as_the_hub_keeps_it_says_how_photos_are_normalised(folder, tmp_path):
    state = timm.create_model(CONV).state_dict()
    save_file(state, tmp_path / "model.safetensors")
    config = {"architecture": CONV, "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    wanted = BackboneOptions(f"timm:{CONV}", f"local-dir:{tmp_path}", device="cpu")
    describer = make_describer(wanted, from_folder_or_list(folder / "photos"))
    assert describer.config["mean"] == [0.1, 0.2, 0.3]
    assert describer.config["image_size"] == 224
    (tmp_path / "config.json").write_text(json.dumps({**config, "architecture": "resnet18"}))
    with pytest.raises(UserError, match="is of resnet18 and --backbone says timm:mobilenetv3_small_050"):
        trunks.choose(wanted.backbone, wanted.weights)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="names no architecture"):
        trunks.choose(wanted.backbone, wanted.weights)


@pytest.mark.parametrize(
    ("backbone", "weights", "message"),
    [
        ("timm:resnet18x", None, "is not a network of timm .*; did you mean timm:resnet18"),
        ("timm:resnet18", "nowhere.pth", "--weights nowhere.pth is not a file"),
        ("timm:resnet18", "local-dir:nowhere", "needs config.json and model.safetensors"),
        ("timm:resnet18,mobilenet_v2", "a,b", "a network of timm stands alone"),
    ],
)
def test_what_is_no_network_of_timm(backbone, weights, message):
    with pytest.raises(UserError, match=message):
        trunks.choose(backbone, weights)


def test_nothing_is_downloaded_unless_asked_for(monkeypatch, tmp_path):
    import huggingface_hub

    def fails(*arguments, **named):
        raise OSError("no network here")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fails)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *given: None)
    with pytest.raises(UserError, match="needs weights and the hub's cache has none"):
        trunks.choose("timm:resnet18", None)
    chosen = trunks.choose("timm:resnet18", "pretrained")
    with pytest.raises(UserError, match=r"cannot be downloaded \(no network here\); fetch timm/resnet18"):
        trunks.load(chosen, None)


def test_weights_of_another_network_and_unfit_pooling_are_refused(folder):
    photos = from_folder_or_list(folder / "photos")
    with pytest.raises(UserError, match="holds weights of another network than timm:vit_tiny_patch16_224"):
        make_describer(replace(options(folder, VIT), weights=str(folder / f"{CONV}.safetensors")), photos)
    with pytest.raises(UserError, match="--pooling gem does not go with timm:vit_tiny"):
        make_describer(options(folder, VIT, pooling="gem"), photos)
    with pytest.raises(UserError, match="--pooling cls does not go with timm:mobilenetv3"):
        make_describer(options(folder, CONV, pooling="cls"), photos)


def test_without_timm_a_sentence_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match="needs the package timm; pip install"):
        trunks.choose("timm:resnet18", None)
