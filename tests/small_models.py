"""Small models and pictures, made in a second, for tests of what is done with a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

from hashpipe.common.files import atomic_folder, open_workspace
from hashpipe.hashing.data import images
from hashpipe.hashing.features.descriptors import make_describer
from hashpipe.hashing.features.feature_maps import feature_maps
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.models.heads import Head, linear_head
from hashpipe.hashing.models.network import make_model, save_model

NET = "shufflenet_v2_x0_5"
SHAPES = ((120, 90), (90, 120), (100, 100), (160, 60))  # width, height


def write_pictures(folder: Path, count: int, seed: int = 0) -> Path:
    """`count` textured pictures of several shapes, 000.png, 001.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        width, height = SHAPES[number % len(SHAPES)]
        coarse = generator.integers(0, 256, (height // 6, width // 6, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:03d}.png")
    return folder


def random_weights(folder: Path, net: str = NET, seed: int = 0) -> Path:
    """A file of random weights of a torchvision network, named after it."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{net}-random.safetensors"
    state = torchvision.models.get_model(net, weights=None).state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return path


def network_model(folder: Path, bits: tuple[int, ...] = (12, 16), seed: int = 0, net: str = NET) -> Path:
    """A model folder: a network with random weights that looks at 96 pixels, and random heads."""
    weights = random_weights(folder.parent, net, seed)
    options = BackboneOptions(weights=str(weights), backbone=net, image_size=96, device="cpu")
    return _save(folder, make_describer(options, images.from_paths([])), bits, seed)


def vlad_model(folder: Path, pictures: Path, bits: tuple[int, ...] = (12,)) -> Path:
    """A model folder: VLAD of four words learnt on the pictures, and random heads."""
    options = BackboneOptions(backbone="vlad", words=4, image_size=160)
    return _save(folder, make_describer(options, images.from_folder_or_list(pictures)), bits, 0)


def workspace_with(folder: Path, model: Path) -> Path:
    """A workspace that holds a copy of the model."""
    workspace = open_workspace(folder, create=True)
    (workspace / "model").mkdir()
    for name in ("config.json", "model.safetensors"):
        (workspace / "model" / name).write_bytes((model / name).read_bytes())
    return workspace


def _save(folder: Path, describer, bits: tuple[int, ...], seed: int) -> Path:
    """Heads around the descriptors' mean, so that codes differ.

    That of 16 bits has a hidden layer, as in 0.1; those of 20 and 24 bits read feature maps.
    """
    probe = write_pictures(folder.parent / "probe", 8, seed + 1)
    values = describer.describe(images.from_folder_or_list(probe)).values
    generator = np.random.default_rng(seed)
    heads, thresholds = {}, {}
    for length in bits:
        weight = generator.normal(size=(values.shape[1], length)).astype(np.float32)
        head = linear_head(values.mean(axis=0), weight, np.zeros(length))
        if length == 16:
            inner, outer = generator.normal(size=(values.shape[1], 8)), generator.normal(size=(8, length))
            hidden = {"hidden": inner, "hidden_bias": np.full(8, 0.01), "outer": outer}
            hidden = {name: value.astype(np.float32) for name, value in hidden.items()}
            head = Head("residual", {**head.arrays, **hidden})
        if length == 20:
            maps = feature_maps(describer, images.from_folder_or_list(probe))
            attend = generator.normal(size=values.shape[1]).astype(np.float32)
            head = Head("attention", {**head.arrays, "mean": maps.pooled().mean(axis=0), "attend": attend})
        if length == 24:
            maps = feature_maps(describer, images.from_folder_or_list(probe))
            head = Head("pyramid", {"mean": maps.pooled().mean(axis=0), "bins": weight, "bias": head.arrays["bias"]})
        heads[length] = head
        thresholds[length] = generator.normal(0, 0.01, length).astype(np.float32)
    with atomic_folder(folder) as temporary:
        save_model(temporary, make_model(describer, heads, thresholds, {}))
    return folder
