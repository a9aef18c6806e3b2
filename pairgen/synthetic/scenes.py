"""Procedural places of six kinds. World: x right, y away from the viewers, z up; metres."""

from __future__ import annotations

import numpy as np

from hashpipe.pairgen.synthetic import textures as tx
from hashpipe.pairgen.synthetic.facades import Facade, paint_facade
from hashpipe.pairgen.synthetic.mesh import Scene
from hashpipe.pairgen.synthetic.props import awning, blob, box, crates, ground, statue, tree


def make_scene(seed: int, *, kind: str | None = None, detail: float = 1.0) -> Scene:
    """Build the place of a seed. `detail` scales the texture resolution (1 = sharp from the nearest viewpoint)."""
    rng = np.random.default_rng([seed, 1])
    kind = kind or KINDS[seed % len(KINDS)]
    scene = Scene()
    azimuth, elevation = rng.uniform(-1.0, 1.0), rng.uniform(0.6, 1.05)
    scene.sun = np.array([np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)])
    ground(scene, rng, green=kind == "rocks", detail=detail)
    _BUILDERS[kind](scene, rng, detail)
    for _ in range(int(rng.integers(1, 4))):
        side = rng.choice([-1, 1])
        tree(scene, rng, np.array([side * rng.uniform(5.5, 8), rng.uniform(-1.5, 1.0), 0]), detail)
    return scene


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
    crates(scene, rng, int(rng.integers(2, 5)), detail)


def _corner(scene: Scene, rng: np.random.Generator, detail: float) -> None:
    height = rng.uniform(7, 9)
    for angle in (-0.75, 0.75):
        width = rng.uniform(7, 9)
        end = np.array([0, 3.0, 0])
        start = end - width * np.array([np.cos(angle), np.sin(angle), 0]) if angle > 0 else end
        place_facade(scene, paint_facade(rng, width, height, detail), start, angle)
    statue(scene, rng, np.array([rng.uniform(-1, 1), -1.0, 0]), detail)


def _monument(scene: Scene, rng: np.random.Generator, detail: float) -> None:
    width, height = rng.uniform(13, 15), rng.uniform(4.5, 6.5)
    place_facade(scene, paint_facade(rng, width, height, detail * 0.85), np.array([-width / 2, 2.5, 0]), 0.0)
    statue(scene, rng, np.array([0, -1.2, 0]), detail, scale=1.5)
    for side in (-1, 1):
        box(
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
        box(scene, rng, at, size, detail)
        awning(scene, rng, at + np.array([0, -size[1] / 2, size[2]]), size[0] * 1.15, detail)
    crates(scene, rng, 5, detail)


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
        blob(
            scene,
            rng,
            centre,
            np.array([radius, radius * 0.9, radius * rng.uniform(0.6, 1)]),
            0.14,
            tx.earthy(rng),
            detail,
        )


_BUILDERS = {
    "street": _street,
    "monument": _monument,
    "corner": _corner,
    "rocks": _rocks,
    "market": _market,
    "tower": _tower,
}
KINDS = tuple(_BUILDERS)
