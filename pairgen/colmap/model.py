"""One reconstructed 3D model as plain arrays, so that no other module needs COLMAP's objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Model:
    """M registered photos, P points, O observations. Photos are in ascending order of id.

    photos        int32 (M,)      photo ids
    rotation      float64 (M,3,3) world to camera
    translation   float64 (M,3)   world to camera
    focal         float64 (M,)    pixels
    principal     float64 (M,2)   pixels
    size          int32 (M,2)     width, height in pixels of the picture that features were found on
    points        float64 (P,3)   world
    colors        uint8 (P,3)     RGB
    errors        float32 (P,)    mean reprojection error, pixels
    observations  int32 (O,2)     row of photos, row of points
    """

    photos: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal: np.ndarray
    principal: np.ndarray
    size: np.ndarray
    points: np.ndarray
    colors: np.ndarray
    errors: np.ndarray
    observations: np.ndarray

    @property
    def centers(self) -> np.ndarray:
        """Camera centres in the world, float64 (M,3)."""
        return -np.einsum("mji,mj->mi", self.rotation, self.translation)

    def project(self, row: int, points: np.ndarray) -> np.ndarray:
        """Pixels float64 (n,2) of world points (n,3) in photo `row`; lens distortion is left out."""
        local = points @ self.rotation[row].T + self.translation[row]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.focal[row] * local[:, :2] / local[:, 2:] + self.principal[row])

    def incidence(self) -> csr_matrix:
        """Sparse photos x points matrix A with A[i,p] = 1 where photo i observes point p."""
        ones = np.ones(len(self.observations), dtype=np.int32)
        shape = (len(self.photos), len(self.points))
        matrix = csr_matrix((ones, (self.observations[:, 0], self.observations[:, 1])), shape=shape)
        matrix.data[:] = 1  # a photo may observe a point twice
        return matrix
