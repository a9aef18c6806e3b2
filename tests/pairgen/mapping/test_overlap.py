"""Overlap, scale change and viewing angle against a slow obvious double loop."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from hashpipe.pairgen.colmap.model import Model
from hashpipe.pairgen.mapping.overlap import Evidence, common_counts, pair_evidence


def simulated_model(photos: int, points: int, seed: int = 0, chance: float = 0.6) -> Model:
    """Cameras on an arc round a bumpy wall; each observes a random share of what is in front of it."""
    rng = np.random.default_rng(seed)
    cloud = np.stack([rng.uniform(-5, 5, points), rng.normal(0, 0.3, points), rng.uniform(0, 5, points)], axis=1)
    rotation, translation = np.empty((photos, 3, 3)), np.empty((photos, 3))
    for i, azimuth in enumerate(np.linspace(-1.2, 1.2, photos)):
        center = rng.uniform(5, 12) * np.array([np.sin(azimuth), -np.cos(azimuth), 0]) + [0, 0, 2]
        forward = np.array([rng.uniform(-3, 3), 0, 2.5]) - center
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1])
        right /= np.linalg.norm(right)
        rotation[i] = [right, np.cross(forward, right), forward]
        translation[i] = -rotation[i] @ center
    focal, size = rng.uniform(500, 800, photos), np.tile([640, 480], (photos, 1))
    size[::3] = [480, 640]
    observations = []
    for i in range(photos):
        local = cloud @ rotation[i].T + translation[i]
        pixel = focal[i] * local[:, :2] / local[:, 2:] + size[i] / 2
        inside = (local[:, 2] > 0) & (pixel > 0).all(axis=1) & (pixel < size[i]).all(axis=1)
        observations += [(i, p) for p in np.flatnonzero(inside & (rng.random(points) < chance))]
    return Model(
        photos=np.arange(photos, dtype=np.int32) * 2 + 3,
        rotation=rotation,
        translation=translation,
        focal=focal,
        principal=size / 2,
        size=size.astype(np.int32),
        points=cloud,
        colors=rng.integers(0, 256, (points, 3)).astype(np.uint8),
        errors=np.full(points, 0.5, np.float32),
        observations=np.array(observations, dtype=np.int32).reshape(-1, 2),
    )


def slow_evidence(model: Model, visible: csr_matrix) -> dict[tuple[int, int], tuple[float, ...]]:
    """The definitions, word for word."""
    observed = model.incidence()
    sees = [set(map(int, observed[i].indices)) for i in range(len(model.photos))]
    surface = [set(map(int, visible[i].indices)) for i in range(len(model.photos))]
    result = {}
    for i in range(len(model.photos)):
        for j in range(i + 1, len(model.photos)):
            shared, common = sees[i] & sees[j], surface[i] & surface[j]
            if not shared and not common:
                continue
            ratios, angles = [], []
            for p in common or shared:
                z_i = model.rotation[i, 2] @ model.points[p] + model.translation[i, 2]
                z_j = model.rotation[j, 2] @ model.points[p] + model.translation[j, 2]
                ratios.append(
                    (model.focal[i] / model.size[i].max() / z_i) / (model.focal[j] / model.size[j].max() / z_j)
                )
                ray_i, ray_j = model.points[p] - model.centers[i], model.points[p] - model.centers[j]
                cosine = ray_i @ ray_j / np.linalg.norm(ray_i) / np.linalg.norm(ray_j)
                angles.append(np.degrees(np.arccos(min(1.0, cosine))))
            ratio = float(np.median(ratios))
            result[int(model.photos[i]), int(model.photos[j])] = (
                len(shared),
                len(shared) / len(sees[i]) if sees[i] else 0.0,
                len(shared) / len(sees[j]) if sees[j] else 0.0,
                len(common) / len(surface[i]) if surface[i] else 0.0,
                len(common) / len(surface[j]) if surface[j] else 0.0,
                max(ratio, 1 / ratio),
                float(np.median(angles)),
            )
    return result


def as_dict(evidence: Evidence) -> dict[tuple[int, int], tuple[float, ...]]:
    columns = (
        evidence.shared_points,
        evidence.overlap_ab,
        evidence.overlap_ba,
        evidence.visible_ab,
        evidence.visible_ba,
        evidence.scale_change,
        evidence.view_angle_deg,
    )
    rows = zip(*columns, strict=True)
    return {(int(a), int(b)): tuple(map(float, row)) for a, b, row in zip(evidence.a, evidence.b, rows, strict=True)}


@pytest.mark.parametrize(("photos", "points", "chance"), [(9, 120, 0.6), (12, 40, 0.15), (2, 30, 0.9), (7, 6, 0.5)])
def test_equals_the_double_loop(photos: int, points: int, chance: float) -> None:
    model = simulated_model(photos, points, seed=photos, chance=chance)
    rng = np.random.default_rng(1)
    dense = model.incidence().toarray().astype(bool)
    dense = (dense & (rng.random(dense.shape) < 0.8)) | (rng.random(dense.shape) < 0.05)
    dense[0] = False  # a photo that sees no surface
    visible = csr_matrix(dense)
    fast, slow = as_dict(pair_evidence(model, visible)), slow_evidence(model, visible)
    assert fast.keys() == slow.keys()
    for pair, expected in slow.items():
        np.testing.assert_allclose(fast[pair], expected, rtol=1e-5, atol=1e-3)


def test_pairs_are_sorted_and_directed() -> None:
    evidence = pair_evidence(simulated_model(6, 200))
    assert (evidence.a < evidence.b).all()
    assert list(zip(evidence.a, evidence.b, strict=True)) == sorted(zip(evidence.a, evidence.b, strict=True))
    assert not np.allclose(evidence.overlap_ab, evidence.overlap_ba)
    assert (evidence.scale_change >= 1).all()


def test_no_common_points_no_pairs() -> None:
    model = simulated_model(3, 30)
    nobody = Model(**{**vars(model), "observations": np.empty((0, 2), np.int32)})
    assert len(pair_evidence(nobody, csr_matrix((3, 30), dtype=bool))) == 0
    assert len(pair_evidence(nobody)) == 0


def test_one_photo_and_no_photo() -> None:
    for photos in (0, 1):
        model = simulated_model(photos, 25)
        assert len(pair_evidence(model)) == 0


def test_a_point_observed_twice_counts_once() -> None:
    model = simulated_model(3, 60)
    doubled = Model(**{**vars(model), "observations": np.concatenate([model.observations, model.observations[:10]])})
    visible = model.incidence().astype(bool)
    assert as_dict(pair_evidence(doubled, visible)) == as_dict(pair_evidence(model, visible))


def test_common_counts_is_a_upper_triangle_of_the_product() -> None:
    matrix = csr_matrix(np.array([[1, 1, 0], [0, 1, 1], [1, 1, 1]]))
    assert common_counts(matrix).toarray().tolist() == [[0, 1, 2], [0, 0, 2], [0, 0, 0]]
