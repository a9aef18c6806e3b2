"""Several networks side by side: their descriptors, a model of them under every runtime, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_models import random_weights, write_pictures

from hashpipe.common.errors import UserError
from hashpipe.hashing.data.images import from_folder_or_list
from hashpipe.hashing.encoding.encoder import open_encoder
from hashpipe.hashing.features import trunks
from hashpipe.hashing.features.descriptors import make_describer
from hashpipe.hashing.features.feature_maps import feature_maps
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.models.network import load_model
from hashpipe.hashing.training import runs
from hashpipe.hashing.training.options import FinetuneOptions, TrainOptions
from hashpipe.hashing.training.train import train

NETS = ("shufflenet_v2_x0_5", "squeezenet1_1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("several")
    write_pictures(made / "photos", 10)
    for net in NETS:
        random_weights(made, net)
    return made


def several(folder: Path) -> BackboneOptions:
    weights = ",".join(str(folder / f"{net}-random.safetensors") for net in NETS)
    return BackboneOptions(",".join(NETS), weights, image_size=64, device="cpu")


def test_descriptors_stand_side_by_side_each_of_the_same_length(folder):
    photos = from_folder_or_list(folder / "photos")
    both = make_describer(several(folder), photos)
    found = both.describe(photos).values
    alone = [
        make_describer(
            BackboneOptions(net, str(folder / f"{net}-random.safetensors"), image_size=64, device="cpu"), photos
        ).describe(photos)
        for net in NETS
    ]
    np.testing.assert_allclose(found, np.hstack([one.values for one in alone]) / np.sqrt(2), atol=1e-5)
    assert both.name == ",".join(NETS)
    with pytest.raises(UserError, match="has no feature maps"):
        feature_maps(both, photos)


def test_a_model_of_several_networks_gives_the_same_codes_under_every_runtime(folder, tmp_path):
    options = TrainOptions((16,), photos=folder / "photos", describe=several(folder), steps=4, batch_others=8)
    train(options, tmp_path / "ws")
    model = load_model(tmp_path / "ws" / "model")
    assert f"| descriptor | {','.join(NETS)}, gem pooling" in (tmp_path / "ws" / "model" / "README.md").read_text()
    photos = from_folder_or_list(folder / "photos")
    right = open_encoder(tmp_path / "ws" / "model", runtime="torch")
    u = right.outputs(photos).u
    described = model.describer.describe(photos)
    np.testing.assert_allclose(u, model.codes_input(described.values, 16), atol=1e-4)
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    found = open_encoder(tmp_path / "ws" / "model", runtime="onnx")
    np.testing.assert_array_equal(found.codes(found.outputs(photos).u), right.codes(u))


def test_paths_of_several_files_mean_the_same_from_any_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = [f"{net}-random.safetensors" for net in NETS]
    options = TrainOptions(describe=BackboneOptions(",".join(NETS), ",".join(names)))
    assert runs.absolute(options).describe.weights == ",".join(str(folder / name) for name in names)
    (folder / "with,comma-net.pth").write_bytes(b"")
    one = replace(options, describe=BackboneOptions("resnet18", "with,comma-net.pth"))
    assert runs.absolute(one).describe.weights == str(folder / "with,comma-net.pth")


@pytest.mark.parametrize(
    ("backbone", "weights", "message"),
    [
        ("resnet18,resnet18", None, "must name different networks"),
        ("resnet18,vlad", None, "must name different networks, with commas between, and no vlad"),
        ("resnet18,", None, "must name different networks"),
        ("resnet18,resnet50", "a.pth", "names 2 networks and --weights a.pth 1"),
        ("resnet18,resnet5", "imagenet", "--backbone resnet5 is not a torchvision classification network"),
    ],
)
def test_what_cannot_be_several_networks(backbone, weights, message):
    with pytest.raises(UserError, match=message):
        trunks.choose(backbone, weights)


def test_heads_on_maps_fine_tuning_and_networks_of_one_size_are_refused(folder, tmp_path):
    options = TrainOptions((16,), photos=folder / "photos", describe=several(folder), steps=4)
    with pytest.raises(UserError, match="reads feature maps of one network, and --backbone names 2"):
        train(replace(options, head="attention"), tmp_path / "ws")
    with pytest.raises(UserError, match="--finetune takes one network"):
        train(replace(options, tune=FinetuneOptions("last")), tmp_path / "ws")
    with pytest.raises(UserError, match="vit_b_32 takes images of one size only and does not go with other networks"):
        trunks.make_trunk({"backbone": "resnet18,vit_b_32", "pooling": "gem"})
