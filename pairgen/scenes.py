"""Procedural places: triangle meshes, one painting per surface. World: x right, y away from viewers, z up; metres."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hashpipe.pairgen import textures as tx
from hashpipe.pairgen.facades import Facade, paint_facade

KINDS = ("street", "monument", "corner", "rocks", "market", "tower")


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


def make_scene(seed: int, *, kind: str | None = None, detail: float = 1.0) -> Scene:
    """Build the place of a seed. `detail` scales the texture resolution (1 = sharp from the nearest viewpoint)."""
    rng = np.random.default_rng([seed, 1])
    kind = kind or KINDS[seed % len(KINDS)]
    scene = Scene()
    azimuth, elevation = rng.uniform(-1.0, 1.0), rng.uniform(0.6, 1.05)
    scene.sun = np.array([np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)])
    _ground(scene, rng, green=kind == "rocks", detail=detail)
    {"street": _street, "monument": _monument, "corner": _corner, "rocks": _rocks, "market": _market, "tower": _tower}[
        kind
    ](scene, rng, detail)
    for _ in range(int(rng.integers(1, 4))):
        side = rng.choice([-1, 1])
        _tree(scene, rng, np.array([side * rng.uniform(5.5, 8), rng.uniform(-1.5, 1.0), 0]), detail)
    return scene


def _ground(scene: Scene, rng: np.random.Generator, *, green: bool, detail: float) -> None:
    size, pixels = 28.0, int(1536 * detail)
    material = scene.paint(tx.ground(rng, pixels, pixels, green=green), pixels / size)
    bumps = tx.noise(rng, 96, 96, cells=4, persistence=0.5) * (0.14 if green else 0.02)
    y, x = np.meshgrid(np.linspace(8, 8 - size, 96), np.linspace(-size / 2, size / 2, 96), indexing="ij")
    scene.sheet(np.stack([x, y, bumps - 0.05], -1), material)


def place_facade(scene: Scene, facade: Facade, origin: np.ndarray, angle: float) -> None:
    """Stand a facade up: its lower left corner at `origin`, turned by `angle` (radians) about the vertical."""
    material = scene.paint(facade.picture, facade.density)
    along = np.array([np.cos(angle), np.sin(angle), 0])
    outwards = np.array([np.sin(angle), -np.cos(angle), 0])
    corners, uv = facade.quads()
    world = origin + corners[..., :1] * along + corners[..., 1:2] * [0, 0, 1] + corners[..., 2:] * outwards
    scene.quads(world, uv, material)


def _street(scene: Scene, rng: np.random.Generator, detail: float) -> None:
    width, height = rng.uniform(11, 14), rng.uniform(7, 10)
    place_facade(scene, paint_facade(rng, width, height, detail), np.array([-width / 2, 0, 0]), 0.0)
    _crates(scene, rng, int(rng.integers(2, 5)), detail)


def _corner(scene: Scene, rng: np.random.Generator, detail: float) -> None:
    height = rng.uniform(7, 9)
    for angle in (-0.75, 0.75):
        width = rng.uniform(7, 9)
        end = np.array([0, 3.0, 0])
        start = end - width * np.array([np.cos(angle), np.sin(angle), 0]) if angle > 0 else end
        place_facade(scene, paint_facade(rng, width, height, detail), start, angle)
    _statue(scene, rng, np.array([rng.uniform(-1, 1), -1.0, 0]), detail)


def _monument(scene: Scene, rng: np.random.Generator, detail: float) -> None:
    width, height = rng.uniform(13, 15), rng.uniform(4.5, 6.5)
    place_facade(scene, paint_facade(rng, width, height, detail * 0.85), np.array([-width / 2, 2.5, 0]), 0.0)
    _statue(scene, rng, np.array([0, -1.2, 0]), detail, scale=1.5)
    for side in (-1, 1):
        _box(
            scene,
            rng,
            np.array([side * rng.uniform(3, 4.5), rng.uniform(-1.5, 0.5), 0]),
            rng.uniform(0.8, 1.6, 3),
            detail,
        )


def _market(scene: Scene, rng: np.random.Generator, detail: float) -> None:
    width, height = rng.uniform(13, 15), rng.uniform(5.5, 8)
    place_facade(scene, paint_facade(rng, width, height, detail * 0.8), np.array([-width / 2, 3.0, 0]), 0.0)
    for x in (-4.2, 0.0, 4.2):
        at = np.array([x + rng.uniform(-0.6, 0.6), rng.uniform(-1.2, 0.8), 0])
        size = np.array([rng.uniform(2.2, 3), rng.uniform(1.2, 1.8), rng.uniform(2.0, 2.8)])
        _box(scene, rng, at, size, detail)
        _awning(scene, rng, at + np.array([0, -size[1] / 2, size[2]]), size[0] * 1.15, detail)
    _crates(scene, rng, 5, detail)


def _tower(scene: Scene, rng: np.random.Generator, detail: float) -> None:
    side, height, offset = rng.uniform(3.5, 4.5), rng.uniform(9, 11), rng.uniform(-2.5, 1.5)
    turn = rng.uniform(-0.35, 0.35)
    along, back = np.array([np.cos(turn), np.sin(turn), 0]), np.array([-np.sin(turn), np.cos(turn), 0])
    corner = np.array([offset, -1.0, 0]) - along * side / 2
    place_facade(scene, paint_facade(rng, side, height, detail * 1.1), corner, turn)
    gap = 0.03  # two surfaces in one plane would flicker
    place_facade(scene, paint_facade(rng, side, height, detail), corner + along * (side + gap), turn + np.pi / 2)
    place_facade(scene, paint_facade(rng, side, height, detail), corner + back * side - along * gap, turn - np.pi / 2)
    width = rng.uniform(12, 14)
    place_facade(
        scene, paint_facade(rng, width, rng.uniform(4.5, 6), detail * 0.9), np.array([-width / 2, 1.5, 0]), 0.0
    )


def _rocks(scene: Scene, rng: np.random.Generator, detail: float) -> None:
    width, pixels = 15.0, int(1700 * detail)
    colour = tx.earthy(rng)
    picture = tx.rock(rng, int(pixels * 0.45), pixels, colour=colour)
    material = scene.paint(picture, pixels / width)
    z, x = np.meshgrid(np.linspace(5.5, -0.3, 110), np.linspace(-width / 2, width / 2, 240), indexing="ij")
    relief = tx.noise(rng, 110, 240, cells=5, persistence=0.62)
    z = z + 0.5 * tx.noise(rng, 110, 240, cells=3, persistence=0.4) * (z / 5.5)
    scene.sheet(np.stack([x, 2.2 + 0.55 * relief + 0.35 * z, z], -1), material)
    for _ in range(int(rng.integers(5, 8))):
        radius = rng.uniform(0.5, 1.5)
        centre = np.array([rng.uniform(-5.5, 5.5), rng.uniform(-2.2, 0.8), radius * 0.5])
        _blob(
            scene,
            rng,
            centre,
            np.array([radius, radius * 0.9, radius * rng.uniform(0.6, 1)]),
            0.14,
            tx.earthy(rng),
            detail,
        )


def _blob(
    scene: Scene,
    rng: np.random.Generator,
    centre: np.ndarray,
    radii: np.ndarray,
    rough: float,
    colour: np.ndarray,
    detail: float,
) -> None:
    """A lumpy ellipsoid."""
    pixels = max(192, int(360 * detail * float(radii.max())))
    material = scene.paint(tx.rock(rng, pixels, 2 * pixels, colour=colour), pixels / (3 * float(radii.max())))
    polar, around = np.meshgrid(np.linspace(0, np.pi, 48), np.linspace(0, 2 * np.pi, 96), indexing="ij")
    lumps = tx.noise(rng, 48, 96, cells=5, persistence=0.5)
    seam = np.linspace(0, 1, 96) ** 8  # the last column meets the first
    lumps = lumps * (1 - seam) + lumps[:, :1] * seam
    lumps[[0, -1]] = 0
    radius = 1 + rough * lumps
    # the seam lies at the back, away from the viewers
    unit = np.stack([np.sin(polar) * np.sin(around), np.sin(polar) * np.cos(around), np.cos(polar)], -1)
    scene.sheet(centre + unit * radius[..., None] * radii, material)


def _statue(scene: Scene, rng: np.random.Generator, foot: np.ndarray, detail: float, scale: float = 1.0) -> None:
    base = np.array([1.3, 1.3, 1.1]) * scale
    _box(scene, rng, foot, base, detail)
    colour = tx.earthy(rng) * 0.9
    hip = foot + np.array([0, 0, base[2] + 0.7 * scale])
    parts = [  # offset and radii of body, head, arms, cloak
        ((0, 0, 0.0), (0.5, 0.42, 0.85)),
        ((rng.uniform(-0.1, 0.1), 0, 0.95), (0.52, 0.4, 0.5)),
        ((rng.uniform(-0.1, 0.1), -0.1, 1.65), (0.27, 0.3, 0.33)),
        ((-0.65, rng.uniform(-0.4, 0.1), rng.uniform(0.5, 1.2)), (0.42, 0.2, 0.2)),
        ((0.65, rng.uniform(-0.4, 0.1), rng.uniform(0.5, 1.2)), (0.42, 0.2, 0.2)),
        ((rng.uniform(-0.4, 0.4), 0.25, 0.3), (0.65, 0.25, 0.9)),
    ]
    for offset, radii in parts:
        _blob(scene, rng, hip + scale * np.array(offset), scale * np.array(radii), 0.1, colour, detail * 1.5)


def _tree(scene: Scene, rng: np.random.Generator, foot: np.ndarray, detail: float) -> None:
    pixels = int(420 * detail)
    tall = rng.uniform(2.0, 3.5)
    for _ in range(3):
        material = scene.paint(tx.leaves(rng, pixels, 2 * pixels), pixels / 3)
        centre = foot + np.array([rng.uniform(-0.6, 0.6), rng.uniform(-0.5, 0.5), tall * rng.uniform(0.5, 1)])
        polar, around = np.meshgrid(np.linspace(0, np.pi, 48), np.linspace(0, 2 * np.pi, 96), indexing="ij")
        radius = 0.95 + 0.16 * tx.noise(rng, 48, 96, cells=10, persistence=0.8)
        unit = np.stack([np.sin(polar) * np.sin(around), np.sin(polar) * np.cos(around), np.cos(polar)], -1)
        scene.sheet(centre + unit * radius[..., None], material)
    trunk = foot + np.array([[-0.12, 0, 0], [0.12, 0, 0], [0.12, 0, tall], [-0.12, 0, tall]])
    bark = scene.paint(tx.rock(rng, 256, 64, colour=np.array([78, 62, 48], np.float32)), 90)
    scene.quads(trunk[None], np.array([[[0, 255], [63, 255], [63, 0], [0, 0]]], np.float32), bark)


def _crates(scene: Scene, rng: np.random.Generator, count: int, detail: float) -> None:
    for _ in range(count):
        at = np.array([rng.uniform(-5, 5), rng.uniform(-2.8, -1.6), 0])
        _box(scene, rng, at, rng.uniform(0.5, 1.1, 3), detail)


def _box(scene: Scene, rng: np.random.Generator, foot: np.ndarray, size: np.ndarray, detail: float) -> None:
    """A box with a different poster or rough paint on each of its visible sides, turned a little."""
    density = 140 * detail
    w, d, h = size
    turn = rng.uniform(-0.4, 0.4)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    x, y = w / 2, d / 2
    sides = (
        (w, h, [(-x, -y, h), (x, -y, h), (x, -y, 0), (-x, -y, 0)]),
        (d, h, [(x, -y, h), (x, y, h), (x, y, 0), (x, -y, 0)]),
        (d, h, [(-x, y, h), (-x, -y, h), (-x, -y, 0), (-x, y, 0)]),
        (w, d, [(-x, y, h), (x, y, h), (x, -y, h), (-x, -y, h)]),
        (w, h, [(x, y, h), (-x, y, h), (-x, y, 0), (x, y, 0)]),
    )
    for wide, tall, corners in sides:
        columns, rows = max(16, int(wide * density)), max(16, int(tall * density))
        material = scene.paint(
            tx.to_bytes(tx.shade(np.asarray(tx.poster(rng, rows, columns), np.float32), rng)), density
        )
        uv = np.array([[[0, 0], [columns - 1, 0], [columns - 1, rows - 1], [0, rows - 1]]], np.float32)
        scene.quads((np.array(corners) @ rotation.T + foot)[None], uv, material)


def _awning(scene: Scene, rng: np.random.Generator, at: np.ndarray, width: float, detail: float) -> None:
    rows, columns = int(170 * detail), int(width * 150 * detail)
    stripes = (np.arange(columns) // max(4, int(rng.uniform(0.15, 0.35) * 150 * detail))) % 2
    tones = rng.uniform(60, 235, (2, 3)).astype(np.float32)
    picture = np.broadcast_to(tones[stripes], (rows, columns, 3)).copy()
    material = scene.paint(tx.to_bytes(tx.shade(picture, rng, strength=0.22, persistence=0.7)), 150 * detail)
    s, x = np.meshgrid(np.linspace(0, 1, 8), np.linspace(-width / 2, width / 2, 24), indexing="ij")
    sag = 0.05 * np.sin(x * 6)
    scene.sheet(at + np.stack([x, -1.0 * s, 0.45 - 0.5 * s + sag * s], -1), material)
