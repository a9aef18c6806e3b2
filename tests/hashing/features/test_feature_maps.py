"""Feature maps for heads that read them: the grid, rows that never shift, the cache and what a kill leaves of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_models import NET, random_weights, write_pictures
from torch.nn import functional

from hashpipe.common.errors import UserError
from hashpipe.hashing.data import images
from hashpipe.hashing.features import backbones, feature_maps, network_descriptors, stored_maps
from hashpipe.hashing.features.describer import Describer
from hashpipe.hashing.features.descriptors import make_describer
from hashpipe.hashing.features.feature_maps import FOLDER
from hashpipe.hashing.features.map_grid import grid
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.features.stored_maps import maps_of


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> images.ImageList:
    """Seven pictures of four shapes; the third cannot be read, the last is the first again."""
    folder = write_pictures(tmp_path_factory.mktemp("maps") / "photos", 7)
    (folder / "002.png").write_bytes(b"no photo")
    (folder / "006.png").write_bytes((folder / "000.png").read_bytes())
    return images.from_folder_or_list(folder)


@pytest.fixture(scope="module")
def describer(tmp_path_factory) -> Describer:
    weights = str(random_weights(tmp_path_factory.mktemp("weights")))
    return make_describer(BackboneOptions(NET, weights, image_size=96, device="cpu"), images.from_paths([]))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (7, 7), (12, 9), (5, 21), (13, 14)])
def test_the_grid_is_adaptive_average_pooling_at_a_common_length(shape):
    scale = torch.tensor([1e-3, 1e6])[:, None, None, None]
    maps = scale * torch.rand(2, 5, *shape, generator=torch.Generator().manual_seed(0))
    expected = functional.adaptive_avg_pool2d(maps, 7)
    found = grid(maps)
    for one, right in zip(found, expected, strict=True):
        torch.testing.assert_close(one / one.norm(), right / right.norm())
    torch.testing.assert_close(found.square().sum(1).mean((1, 2)), torch.ones(2))
    assert torch.equal(grid(torch.zeros(1, 5, *shape)), torch.zeros(1, 5, 7, 7))


def test_rows_are_maps_of_the_network_in_order(describer, photos, tmp_path):
    maps = feature_maps.feature_maps(describer, photos, tmp_path)
    assert maps.shape == (7, 1024, 7, 7)
    assert maps.ok.tolist() == [True, True, False, True, True, True, True]
    assert not maps[2:3].any()
    np.testing.assert_array_equal(maps[6:7], maps[0:1])
    assert maps.rows[0].dtype == np.float16
    assert all(isinstance(row, np.memmap) for row in maps.rows if row is not None)
    trunk = backbones.Trunk(NET, "gem").eval()
    backbones.fill(trunk, describer.tensors, "the model")
    for row in (0, 1, 3):
        picture = np.asarray(photos.open(row, None).resize([(96, 72), (72, 96), None, (96, 36)][row], 3))
        x = network_descriptors.normalised(torch.from_numpy(np.array(picture))[None], trunk)
        with torch.inference_mode():
            expected = functional.adaptive_avg_pool2d(trunk.maps(x), 7)[0].flatten()
        cosine = float(expected @ torch.from_numpy(maps[row : row + 1]).flatten() / expected.norm() / 7)
        assert cosine > 0.99, row


def test_the_mean_of_maps_is_what_spoc_pools_where_the_grid_is_exact():
    """All cells weigh the same: a map of 14 x 14 has the mean of its grid."""
    maps = torch.rand(3, 5, 14, 14)
    pooled = maps_of(grid(maps).numpy()).pooled()
    np.testing.assert_allclose(pooled, functional.normalize(backbones.pool(maps, "spoc"), dim=1), atol=1e-6)


def test_each_photo_is_computed_once_and_descriptors_lie_beside(describer, photos, tmp_path, monkeypatch):
    before = describer.describe(photos, tmp_path)
    first = feature_maps.feature_maps(describer, photos, tmp_path)
    opened: list[int] = []
    watched = images.ImageList(
        photos.keys, lambda row, side: opened.append(row) or photos.open(row, side), photos.names
    )
    again = feature_maps.feature_maps(describer, watched, tmp_path)
    assert set(opened) == {2}  # it may be readable one day
    np.testing.assert_array_equal(again[:], first[:])
    np.testing.assert_array_equal(describer.describe(photos, tmp_path).values, before.values)
    np.testing.assert_array_equal(feature_maps.feature_maps(describer, photos)[:], first[:])  # without a cache


def test_a_run_that_was_killed_goes_on(describer, photos, tmp_path, monkeypatch):
    """Killed while the third part of two photos was computed, and another part was being written."""
    monkeypatch.setattr(feature_maps, "CHUNK", 2)
    whole = feature_maps.feature_maps(describer, photos)[:]

    class Killed(BaseException):
        pass

    def open_some(row: int, side: int | None):
        if row >= 4:
            raise Killed
        return photos.open(row, side)

    with pytest.raises(Killed):
        feature_maps.feature_maps(describer, images.ImageList(photos.keys, open_some, photos.names), tmp_path)
    folder = tmp_path / describer.fingerprint / FOLDER
    parts = sorted(folder.glob("*.npy"))
    assert len(parts) == 2
    parts[0].write_bytes(parts[0].read_bytes()[:-1])  # damaged: it does not count
    (folder / "half.npy").write_bytes(parts[1].read_bytes())  # without its keys it does not count
    opened: list[int] = []
    watched = images.ImageList(
        photos.keys, lambda row, side: opened.append(row) or photos.open(row, side), photos.names
    )
    found = feature_maps.feature_maps(describer, watched, tmp_path)
    np.testing.assert_array_equal(found[:], whole)
    assert {4, 5} < set(opened) < {0, 1, 2, 3, 4, 5}


def test_no_photo_and_no_readable_photo(describer, photos, tmp_path):
    assert len(feature_maps.feature_maps(describer, photos.subset([]), tmp_path)) == 0
    lost = feature_maps.feature_maps(describer, photos.subset([2]), tmp_path)
    assert not lost.ok.any()
    assert lost.pooled().shape[0] == 1


def test_vlad_has_none(photos):
    vlad = make_describer(BackboneOptions("vlad", words=2, image_size=96), photos)
    with pytest.raises(UserError, match="vlad has no feature maps; name a network with --backbone"):
        feature_maps.feature_maps(vlad, photos)


def test_rows_by_position_mask_and_slice_and_their_means(monkeypatch):
    array = np.random.default_rng(0).normal(size=(9, 3, 2, 2)).astype(np.float16)
    maps = maps_of(array)
    for rows in (np.array([4, 0, 4]), np.arange(9) % 2 == 0, slice(2, 7), slice(0, 0)):
        np.testing.assert_array_equal(maps[rows], array[rows])
        np.testing.assert_array_equal(maps.subset(rows)[:], array[rows])
        assert maps[rows].dtype == np.float32
    monkeypatch.setattr(stored_maps, "PART", 4)
    assert [len(part) for part in maps.parts()] == [4, 4, 1]
    mean = np.array([[[float(value) for value in cell.flat] for cell in one] for one in array]).mean(axis=2)
    np.testing.assert_allclose(maps.pooled(), mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)
