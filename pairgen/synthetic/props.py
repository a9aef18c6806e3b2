"""What stands about in a place: ground, boxes, statues, rocks, trees, awnings."""

from __future__ import annotations

import numpy as np

from hashpipe.pairgen.synthetic import textures as tx
from hashpipe.pairgen.synthetic.mesh import Scene


def ground(scene: Scene, rng: np.random.Generator, *, green: bool, detail: float) -> None:
    size, pixels = 28.0, int(1536 * detail)
    material = scene.paint(tx.ground(rng, pixels, pixels, green=green), pixels / size)
    bumps = tx.noise(rng, 96, 96, cells=4, persistence=0.5) * (0.14 if green else 0.02)
    y, x = np.meshgrid(np.linspace(8, 8 - size, 96), np.linspace(-size / 2, size / 2, 96), indexing="ij")
    scene.sheet(np.stack([x, y, bumps - 0.05], -1), material)


def blob(
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


def statue(scene: Scene, rng: np.random.Generator, foot: np.ndarray, detail: float, scale: float = 1.0) -> None:
    base = np.array([1.3, 1.3, 1.1]) * scale
    box(scene, rng, foot, base, detail)
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
        blob(scene, rng, hip + scale * np.array(offset), scale * np.array(radii), 0.1, colour, detail * 1.5)


def tree(scene: Scene, rng: np.random.Generator, foot: np.ndarray, detail: float) -> None:
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


def crates(scene: Scene, rng: np.random.Generator, count: int, detail: float) -> None:
    for _ in range(count):
        at = np.array([rng.uniform(-5, 5), rng.uniform(-2.8, -1.6), 0])
        box(scene, rng, at, rng.uniform(0.5, 1.1, 3), detail)


def box(scene: Scene, rng: np.random.Generator, foot: np.ndarray, size: np.ndarray, detail: float) -> None:
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


def awning(scene: Scene, rng: np.random.Generator, at: np.ndarray, width: float, detail: float) -> None:
    rows, columns = int(170 * detail), int(width * 150 * detail)
    stripes = (np.arange(columns) // max(4, int(rng.uniform(0.15, 0.35) * 150 * detail))) % 2
    tones = np.array([tx.random_colour(rng, low=60), tx.random_colour(rng, low=190, high=245)], np.float32)
    picture = np.broadcast_to(tones[stripes], (rows, columns, 3)).copy()
    material = scene.paint(tx.to_bytes(tx.shade(picture, rng, strength=0.22, persistence=0.7)), 150 * detail)
    s, x = np.meshgrid(np.linspace(0, 1, 8), np.linspace(-width / 2, width / 2, 24), indexing="ij")
    sag = 0.05 * np.sin(x * 6)
    scene.sheet(at + np.stack([x, -1.0 * s, 0.45 - 0.5 * s + sag * s], -1), material)
