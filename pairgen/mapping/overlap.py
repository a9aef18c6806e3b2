"""How much two photos of one model see of the same surface, by shared points and by visible surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, triu

from hashpipe.pairgen.colmap.model import Model
from hashpipe.pairgen.mapping.surface import visible_surface


@dataclass(frozen=True)
class Evidence:
    """What one model says about E pairs of its photos, sorted by (a, b); every array has length E.

    a, b                      int32    photo ids, a < b
    shared_points             int32    points that both photos observe
    overlap_ab, overlap_ba    float32  shared points / points that a (b) observes
    visible_ab, visible_ba    float32  common visible surface points / those that a (b) sees
    scale_change              float32  >= 1; median ratio of f/z over the common surface points, f in longest sides
    view_angle_deg            float32  median angle between the two rays to the common surface points, degrees
    """

    a: np.ndarray
    b: np.ndarray
    shared_points: np.ndarray
    overlap_ab: np.ndarray
    overlap_ba: np.ndarray
    visible_ab: np.ndarray
    visible_ba: np.ndarray
    scale_change: np.ndarray
    view_angle_deg: np.ndarray

    def __len__(self) -> int:
        return len(self.a)


def pair_evidence(model: Model, visible: csr_matrix | None = None) -> Evidence:
    """Evidence for every pair of photos of the model that share a point or visible surface; other pairs have none.

    visible: bool photos x points, by default `surface.visible_surface(model)`. Where two photos share points but no
    visible surface, scale change and viewing angle come from the shared points.
    """
    observed = model.incidence()
    seen = visible_surface(model) if visible is None else visible
    seen = seen.astype(np.int32)
    shared, common = common_counts(observed), common_counts(seen)
    either = (shared + common).tocoo()
    order = np.lexsort((either.col, either.row))
    i, j = either.row[order].astype(np.int64), either.col[order].astype(np.int64)
    n_shared, n_common = _lookup(shared, i, j), _lookup(common, i, j)
    scale, angle = np.full(len(i), np.nan, np.float32), np.full(len(i), np.nan, np.float32)
    for members, rows in ((seen, n_common > 0), (observed, n_common == 0)):
        scale[rows], angle[rows] = _scale_and_angle(model, members, i[rows], j[rows])
    points, surface = _row_counts(observed), _row_counts(seen)
    return Evidence(
        a=model.photos[i].astype(np.int32),
        b=model.photos[j].astype(np.int32),
        shared_points=n_shared.astype(np.int32),
        overlap_ab=_share(n_shared, points[i]),
        overlap_ba=_share(n_shared, points[j]),
        visible_ab=_share(n_common, surface[i]),
        visible_ba=_share(n_common, surface[j]),
        scale_change=scale,
        view_angle_deg=angle,
    )


def common_counts(members: csr_matrix) -> csr_matrix:
    """Upper triangle (without the diagonal) of A Aᵀ: the columns that two rows have in common. Sparse, rows x rows."""
    return triu(members @ members.T, k=1, format="csr")


def _lookup(matrix: csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.asarray(matrix[rows, columns]).reshape(-1) if len(rows) else np.zeros(0, np.int32)


def _row_counts(matrix: csr_matrix) -> np.ndarray:
    return np.diff(matrix.indptr)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0).astype(np.float32)


def _scale_and_angle(model: Model, members: csr_matrix, i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Medians over the common points of each pair of rows (i ascending); float32 arrays as long as `i`.

    One photo at a time against all its partners: a partners x points block, sorted by rows, NaN (sorted last) where a
    partner lacks the point.
    """
    scale, angle = np.empty(len(i), np.float32), np.empty(len(i), np.float32)
    by_point, centers = members.tocsc(), model.centers
    side_focal = model.focal / model.size.max(axis=1)  # of the longest side, as lying and standing photos share it
    for start, stop in _runs(i):
        photo, partners = i[start], j[start:stop]
        columns = members.indices[members.indptr[photo] : members.indptr[photo + 1]]
        block = np.asarray(by_point[:, columns][partners].toarray(), dtype=bool)
        points = model.points[columns]
        depth = points @ model.rotation[partners][:, 2].T + model.translation[partners, 2]
        own_depth = points @ model.rotation[photo, 2] + model.translation[photo, 2]
        ratio = (side_focal[photo] / own_depth) * (depth / side_focal[partners]).T
        own_ray = points - centers[photo]
        own_ray /= np.linalg.norm(own_ray, axis=1, keepdims=True)
        # cosine of the angle at the point, without the (partners, points, 3) array of rays
        along = own_ray @ centers[partners].T
        dot = np.einsum("ij,ij->i", own_ray, points)[:, None] - along
        squared = (
            np.einsum("ij,ij->i", points, points)[:, None]
            - 2 * points @ centers[partners].T
            + np.einsum("ij,ij->i", centers[partners], centers[partners])
        )
        cosine = (dot / np.sqrt(np.maximum(squared, 1e-24))).T
        low, high = _middle(ratio, block)
        median = (low + high) / 2
        scale[start:stop] = np.maximum(median, 1 / median)
        low, high = np.degrees(np.arccos(np.clip(_middle(cosine, block), -1, 1)))
        angle[start:stop] = (low + high) / 2
    return scale, angle


def _runs(values: np.ndarray) -> list[tuple[int, int]]:
    """Start and stop of each run of equal values."""
    cuts = np.flatnonzero(np.diff(values)) + 1
    return list(zip([0, *cuts.tolist()], [*cuts.tolist(), len(values)], strict=True)) if len(values) else []


def _middle(values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two middle values (equal for odd counts) of each row where `mask`; every row has at least one."""
    ordered = np.sort(np.where(mask, values, np.nan), axis=1)
    count = mask.sum(axis=1)
    row = np.arange(len(values))
    return ordered[row, (count - 1) // 2], ordered[row, count // 2]
