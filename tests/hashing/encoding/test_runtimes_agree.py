"""Photos that a model learnt from have the same codes whatever computes them: no threshold lies on one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import NET, random_weights, write_pictures

from hashpipe.hashing.codes.codes_file import read_codes
from hashpipe.hashing.data.images import from_folder_or_list
from hashpipe.hashing.encoding.encode import encode
from hashpipe.hashing.encoding.encoder import open_encoder
from hashpipe.hashing.encoding.options import EncodeOptions
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.search.index_commands import build_index
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.hashing.search.options import SearchOptions
from hashpipe.hashing.search.search import search
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.train import train

PHOTOS = 41  # an odd number: the median of each bit is the output of a photo


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("agree")
    photos = write_pictures(folder / "photos", PHOTOS)
    network = BackboneOptions(backbone=NET, weights=str(random_weights(folder)), image_size=96, device="cpu")
    train(TrainOptions((64,), steps=30, photos=photos, describe=network), folder / "ws")
    return folder / "ws"


@pytest.fixture(scope="module")
def photos(workspace) -> Path:
    return workspace.parent / "photos"


def test_no_output_lies_on_a_threshold(workspace, photos):
    encoder = open_encoder(workspace / "model", runtime="torch")
    u = encoder.outputs(from_folder_or_list(photos)).u
    assert (np.abs(u - encoder.space.thresholds).min(axis=0) / u.std(axis=0)).min() > 4e-5


@pytest.mark.parametrize("runtime", ["torch", "onnx", "openvino"])
def test_every_photo_of_an_index_is_found_first_at_distance_0(workspace, photos, runtime):
    """The index is made from descriptors that training computed in batches and cached."""
    if runtime != "torch":
        pytest.importorskip("onnx")
        pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[runtime])
    encode(photos, workspace, EncodeOptions(runtime="torch"))
    build_index([], workspace, IndexOptions())
    stored = read_codes(workspace / "codes.parquet")
    encode(photos, workspace, EncodeOptions(runtime=runtime, output=workspace.parent / f"{runtime}.parquet"))
    alone = open_encoder(workspace / "model", runtime=runtime)
    found = alone.codes(alone.outputs(from_folder_or_list(photos)).u)
    np.testing.assert_array_equal(found, stored.codes)
    np.testing.assert_array_equal(read_codes(workspace.parent / f"{runtime}.parquet").codes, stored.codes)
    queries = [str(path) for path in sorted(photos.iterdir())]
    hits = search(queries, workspace, SearchOptions(runtime=runtime, k=1)).hits
    assert [(one[0].path, one[0].distance) for one in hits] == [(query, 0) for query in queries]
