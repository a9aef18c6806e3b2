"""Baselines: what defines each of them, determinism, and more bits than dimensions."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from hashpipe.common.errors import UserError
from hashpipe.common.perceptual_hash import phash
from hashpipe.hashing.baselines import baselines
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.features.phash import frequencies


@pytest.fixture
def clusters():
    """Five clusters in 24 dimensions, float32 (500, 24)."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 24))
    values = centres[np.arange(500) % 5] + 0.2 * rng.normal(size=(500, 24))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("name", baselines.PROJECTIONS)
@pytest.mark.parametrize("bits", [4, 16, 24, 40])
def test_shape_determinism_and_use_of_new_photos(name, bits, clusters):
    encode = baselines.fit(name, clusters[:300], bits, seed=1)
    u = encode(clusters)
    assert (u.shape, u.dtype) == ((500, bits), np.float32)
    assert np.isfinite(u).all()
    np.testing.assert_array_equal(u, baselines.fit(name, clusters[:300], bits, seed=1)(clusters))
    np.testing.assert_allclose(encode(clusters[300:]), u[300:], atol=1e-5)
    assert len(np.unique(u >= 0, axis=0)) > 3


@pytest.mark.parametrize("name", baselines.PROJECTIONS)
def test_codes_of_one_cluster_are_closer(name, clusters):
    signs = np.where(baselines.fit(name, clusters, 16)(clusters) >= 0, 1, -1)
    agreement = signs @ signs.T / 16
    same = np.equal.outer(np.arange(500) % 5, np.arange(500) % 5)
    assert agreement[same].mean() > agreement[~same].mean() + 0.2


def test_pca_is_the_projection_on_singular_vectors(clusters):
    centred = clusters.astype(np.float64) - clusters.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    found = baselines.fit("pca", clusters, 6)(clusters)
    np.testing.assert_allclose(np.abs(found), np.abs(centred @ directions[:6].T), atol=1e-4)


def test_itq_rotation_lowers_the_quantisation_loss(clusters):
    projected = baselines.principal(clusters, 8).project(clusters, 8)

    def loss(rotation):
        rotated = projected @ rotation
        return np.mean((rotated - np.where(rotated >= 0, 1, -1)) ** 2)

    losses = [loss(baselines.itq_rotation(projected, np.random.default_rng(0), rounds)) for rounds in (0, 1, 10, 50)]
    assert losses == sorted(losses, reverse=True)
    rotation = baselines.itq_rotation(projected, np.random.default_rng(0))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(8), atol=1e-10)


def test_spectral_hashing_against_a_slow_version(clusters):
    basis = baselines.principal(clusters, 6)
    projected = basis.project(clusters, 6)
    low, extent = projected.min(axis=0), np.ptp(projected, axis=0)
    modes = sorted((m / extent[axis], axis, m) for axis in range(6) for m in range(1, 7))[:6]
    expected = np.stack([np.cos(np.pi * m * (projected[:, a] - low[a]) / extent[a]) for _, a, m in modes], axis=1)
    np.testing.assert_allclose(baselines.fit("sh", clusters, 6)(clusters), expected, atol=1e-5)


def test_more_bits_than_training_photos(clusters):
    for name in baselines.PROJECTIONS:
        u = baselines.fit(name, clusters[:5], 32)(clusters)
        assert u.shape == (500, 32)
        assert (u.std(axis=0) > 0).all()


def test_a_single_training_photo_is_refused(clusters):
    with pytest.raises(UserError, match="at least 2"):
        baselines.fit("itq", clusters[:1], 8)


def test_phash_keeps_copies_close_and_others_apart():
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(4):
        small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        picture = small.resize((200, 150), Image.Resampling.BICUBIC)
        pictures += [picture, ImageEnhance.Brightness(picture).enhance(0.8).resize((90, 70))]
    images = ImageList(tuple(map(str, range(8))), lambda i, side: pictures[i], tuple(map(str, range(8))))
    values, ok = frequencies(images)
    assert ok.all()
    bits = phash(values, 64) >= 0
    distance = (bits[:, None] != bits[None]).sum(axis=2)
    for i in range(0, 8, 2):
        assert distance[i, i + 1] <= 6
        assert np.delete(distance[i], [i, i + 1]).min() >= 16
    assert 0.4 < bits.mean() < 0.6
