"""Descriptors at several scales: their mean, a cache of their own, kept by the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import random_weights

from hashpipe.common.errors import UserError
from hashpipe.hashing.data import images
from hashpipe.hashing.features.descriptors import make_describer
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.models.network import load_model
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.train import train

NET = "squeezenet1_1"


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> BackboneOptions:
    path = random_weights(tmp_path_factory.mktemp("weights"), NET)
    return BackboneOptions(weights=str(path), image_size=96, device="cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for number, size in enumerate([(96, 64), (64, 96), (96, 64), (80, 80)]):
        pixels = generator.integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_the_mean_over_scales_as_a_unit_vector(options, photos, tmp_path):
    listed = images.from_folder_or_list(photos)
    half, whole, both = (
        make_describer(replace(options, scales=scales), listed).describe(listed, tmp_path).values
        for scales in ((0.5,), (1.0,), (0.5, 1.0))
    )
    expected = (half + whole) / np.linalg.norm(half + whole, axis=1, keepdims=True)
    np.testing.assert_allclose(both, expected, atol=1e-5)
    assert not np.allclose(half, whole, atol=1e-3)
    assert len(list(tmp_path.iterdir())) == 3  # each has a cache of its own
    plain = make_describer(options, listed)
    assert "scales" not in plain.config


def test_a_model_keeps_its_scales(options, photos, tmp_path):
    describe = replace(options, scales=(1.0, 0.5))
    train(TrainOptions((4,), describe=describe, photos=photos, steps=1), tmp_path / "ws")
    model, listed = load_model(tmp_path / "ws/model", "cpu"), images.from_folder_or_list(photos)
    assert model.describer.fingerprint == make_describer(describe, listed).fingerprint
    assert "at scales 1, 0.5" in (tmp_path / "ws/model/README.md").read_text()


def test_scales_belong_to_networks_that_take_any_size(photos):
    listed = images.from_folder_or_list(photos)
    with pytest.raises(UserError, match="omit it with vlad"):
        make_describer(BackboneOptions("vlad", scales=(1.0, 2.0)), listed)
