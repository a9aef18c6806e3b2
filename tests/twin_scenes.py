"""Rendered look-alikes: places with the same house front between different neighbours, and photos of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hashpipe.pairgen.synthetic.demo_photos import develop
from hashpipe.pairgen.synthetic.facades import paint_facade
from hashpipe.pairgen.synthetic.mesh import Scene
from hashpipe.pairgen.synthetic.props import crates, ground, statue, tree
from hashpipe.pairgen.synthetic.render import Stage, View, render, viewpoints
from hashpipe.pairgen.synthetic.scenes import place_facade


def twin_scene(front: int, seed: int, detail: float, width: float = 6.0) -> Scene:
    """The house front of seed `front` with neighbours, ground and things of seed `seed`."""
    rng = np.random.default_rng([seed, 7])
    scene = Scene()
    ground(scene, rng, green=bool(seed % 2), detail=detail)
    shared = np.random.default_rng([front, 8])
    place_facade(scene, paint_facade(shared, width, 7.0, detail), np.array([-width / 2, 0, 0]), 0.0)
    for side in (-1, 1):
        wide, turn = rng.uniform(5, 7), float(rng.uniform(0.15, 0.5))
        facade = paint_facade(rng, wide, rng.uniform(5, 9), detail)
        if side > 0:
            place_facade(scene, facade, np.array([width / 2, 0.0, 0]), -turn)
        else:
            corner = np.array([-width / 2, 0.0, 0]) - wide * np.array([np.cos(turn), np.sin(turn), 0])
            place_facade(scene, facade, corner, turn)
    crates(scene, rng, int(rng.integers(2, 5)), detail)
    statue(scene, rng, np.array([rng.uniform(-3, 3), -2.0, 0]), detail)
    tree(scene, rng, np.array([rng.choice([-1, 1]) * rng.uniform(4, 6), -1.0, 0]), detail)
    return scene


def twin_views(front: int, seed: int, count: int, size: tuple[int, int], width: float) -> list[View]:
    stage = Stage(twin_scene(front, seed, max(size) / 640, width), seed)
    return [render(stage, camera) for camera in viewpoints(seed, count, size)]


def write_twins(
    folder: Path, fronts: list[tuple[int, int]], count: int, size: tuple[int, int], width: float = 6.0
) -> dict[str, int]:
    """Photos of places (front, seed) below `folder`; returns the place (its position in `fronts`) by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    names = np.random.default_rng(3).permutation(len(fronts) * count)
    for place, (front, seed) in enumerate(fronts):
        rng = np.random.default_rng([seed, 9])
        for number, view in enumerate(twin_views(front, seed, count, size, width)):
            name = f"{names[place * count + number]:04d}.jpg"
            develop(view.rgb, rng).save(folder / name, quality=90)
            truth[name] = place
    return truth
