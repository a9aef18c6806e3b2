"""A place under construction: triangle meshes with one painting per surface."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Scene:
    """A place under construction.

    vertices   list of float64 (n,3), metres
    triangles  list of int64 (m,3), indices into all vertices so far
    uv         list of float32 (m,3,2), texture pixels (column, row) at the three corners
    material   list of int32 (m,), index into `paintings`
    paintings  list of uint8 (h,w,3)
    density    list of texture pixels per metre, by painting
    sun        unit vector towards the sun
    """

    vertices: list[np.ndarray] = field(default_factory=list)
    triangles: list[np.ndarray] = field(default_factory=list)
    uv: list[np.ndarray] = field(default_factory=list)
    material: list[np.ndarray] = field(default_factory=list)
    paintings: list[np.ndarray] = field(default_factory=list)
    density: list[float] = field(default_factory=list)
    sun: np.ndarray = field(default_factory=lambda: np.array([0.4, -0.6, 0.7]))

    def paint(self, picture: np.ndarray, density: float) -> int:
        """Register a painting (uint8 (h,w,3)); returns its material number."""
        self.paintings.append(np.ascontiguousarray(picture))
        self.density.append(float(density))
        return len(self.paintings) - 1

    def add(self, vertices: np.ndarray, triangles: np.ndarray, corner_uv: np.ndarray, material: int) -> None:
        """Add a mesh; `corner_uv` is float (m,3,2) in texture pixels."""
        base = sum(len(v) for v in self.vertices)
        self.vertices.append(np.asarray(vertices, np.float64))
        self.triangles.append(np.asarray(triangles, np.int64) + base)
        self.uv.append(np.asarray(corner_uv, np.float32))
        self.material.append(np.full(len(triangles), material, np.int32))

    def quads(self, corners: np.ndarray, uv: np.ndarray, material: int) -> None:
        """Add q quadrilaterals: corners float (q,4,3) in order round the edge, uv float (q,4,2)."""
        q = len(corners)
        first = np.arange(q)[:, None] * 4
        triangles = np.concatenate([first + np.array([0, 1, 2]), first + np.array([0, 2, 3])])
        corner_uv = np.concatenate([uv[:, [0, 1, 2]], uv[:, [0, 2, 3]]])
        self.add(corners.reshape(-1, 3), triangles, corner_uv, material)

    def sheet(self, grid: np.ndarray, material: int) -> None:
        """Add a surface given by a grid of points, float (r,c,3), with its painting stretched over it."""
        rows, columns = grid.shape[:2]
        height, width = self.paintings[material].shape[:2]
        index = np.arange(rows * columns).reshape(rows, columns)
        a, b, c, d = (x.ravel() for x in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
        triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
        v, u = np.meshgrid(np.linspace(0, height - 1, rows), np.linspace(0, width - 1, columns), indexing="ij")
        uv = np.stack([u.ravel(), v.ravel()], 1)
        self.add(grid.reshape(-1, 3), triangles, uv[triangles], material)
