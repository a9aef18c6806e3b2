"""Small made-up cases that many tests share: places of photos, what 3D says of them, a batch with known values."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from hashpipe.common.errors import UserError
from hashpipe.common.files import sha256_file
from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.models.heads import Head
from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.heads import head_class, reads_maps
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives import objective_class
from hashpipe.hashing.training.objectives.base import Known
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.recipes import head_of, recipe_of
from hashpipe.pairgen.pairs.pairset import PAIRS_SCHEMA, PHOTOS_SCHEMA, RELATIONS_SCHEMA, PairSet


def places(
    count: int = 4,
    photos: int = 8,
    lone: int = 0,
    width: int = 24,
    spread: float = 0.35,
    seed: int = 0,
    apart: bool = False,
) -> tuple[np.ndarray, Targets]:
    """Descriptors float32 (N,width), unit rows around one centre for each place, and all pairs inside of places.

    Rows: `photos` for each of `count` places, then `lone` photos without a place. apart: all pairs of two places are
    listed as dissimilar.
    """
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(count + lone, width))
    group = np.concatenate([np.repeat(np.arange(count), photos), np.full(lone, -1)])
    own = np.concatenate([np.repeat(np.arange(count), photos), np.arange(count, count + lone)])
    x = centres[own] + spread * np.sqrt(width) / 2 * generator.normal(size=(len(own), width))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    pairs = np.stack(np.triu_indices(len(own), 1), axis=1)
    placed, same = (group[pairs] >= 0).all(axis=1), group[pairs[:, 0]] == group[pairs[:, 1]]
    between = placed & ~same if apart else np.zeros(len(pairs), bool)
    return x, pair_targets(pairs[placed & same], pairs[between], group)


def hidden_places(count: int = 6, photos: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Targets]:
    """Maps float16 (N,17,7,7) in which one position shows the place, marked in the last channel, and 48 show noise.

    First come the descriptors that those positions hold, float32 (N,16). No position is the right one for all photos.
    """
    x, targets = places(count, photos, width=16, spread=0.2, seed=seed, apart=True)
    generator = np.random.default_rng(seed)
    maps = np.zeros((len(x), 17, 49), np.float32)
    noise = generator.normal(size=(len(x), 16, 49))
    maps[:, :16] = noise / np.linalg.norm(noise, axis=1, keepdims=True)
    maps[np.arange(len(x)), :, generator.integers(49, size=len(x))] = np.column_stack([x, np.ones(len(x))])
    return x, (6 * maps).astype(np.float16).reshape(-1, 17, 7, 7), targets


def coarse_maps(count: int = 6, photos: int = 8, seed: int = 0) -> tuple[np.ndarray, Targets]:
    """Maps float16 (N,16,3,3), not negative, whose positions all show the place, each with noise of its own."""
    x, targets = places(count, photos, width=16, spread=0.2, seed=seed, apart=True)
    noise = np.random.default_rng(seed).normal(size=(len(x), 16, 9))
    return np.maximum(4 * x[:, :, None] + noise, 0).astype(np.float16).reshape(-1, 16, 3, 3), targets


def gap(code: np.ndarray, group: np.ndarray) -> float:
    """How much farther apart photos of two places lie than those of one, as a share of the bits; code bool (N,k)."""
    distance = (code[:, None] != code[None]).mean(axis=2)
    same, placed = group[:, None] == group[None], (group >= 0)[:, None] & (group >= 0)[None]
    inside = same & placed & ~np.eye(len(code), dtype=bool)
    return float(distance[placed & ~same].mean() - distance[inside].mean())


def pair_targets(similar: np.ndarray, dissimilar: np.ndarray, group: np.ndarray) -> Targets:
    """Targets of similar (S,2) and dissimilar (T,2) pairs; all weights 1."""
    both = np.concatenate([similar, dissimilar]).astype(np.int64).reshape(-1, 2)
    label = np.repeat(np.array([1, -1], np.int8), [len(similar), len(dissimilar)])
    ones = np.ones(len(both), np.float32)
    return Targets(both.min(axis=1), both.max(axis=1), label, ones, np.asarray(group, np.int64))


def pictures(folder: Path, count: int = 12, seed: int = 0, size: tuple[int, int] = (96, 80)) -> Path:
    """`count` pictures of coarse noise, 0.png, 1.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        pixels = generator.integers(0, 255, (size[1] // 2, size[0] // 2, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


def pairset(
    photos: Mapping[str, Sequence[Any]],
    pairs: Sequence[tuple[int, int, int]],
    relations: Sequence[tuple[int, int]] = (),
    root: Path = Path("photos"),
    **columns: Sequence[Any],
) -> PairSet:
    """A PairSet in memory. photos: at least `place`, by column; pairs: (a, b, label); columns: further ones of pairs.

    relations: places that may be the same. `root` is read for hashes where it holds the photos.
    """
    count = len(photos["place"])
    names = photos.get("path") or [f"{number}.jpg" for number in range(count)]
    files = [Path(root) / name for name in names]
    usual: dict[str, Sequence[Any]] = {
        "photo": range(count),
        "path": names,
        "root": [str(root)] * count,
        "sha256": [sha256_file(file) if file.is_file() else f"{at:064x}" for at, file in enumerate(files)],
        "status": ["ok"] * count,
        "duplicate_of": [-1] * count,
        "model": photos["place"],
        "split": ["train"] * count,
        "query": [False] * count,
        **{name: [None] * count for name in ("taken_at", "lat", "lon")},
        **{name: [value] * count for name, value in (("width", 96), ("height", 80), ("orientation", 1))},
    }
    kinds = ["covisible" if label > 0 else "negative" for *_, label in pairs]
    of_pairs: dict[str, Sequence[Any]] = {name: [0] * len(pairs) for name in PAIRS_SCHEMA.names}
    of_pairs |= {name: [pair[at] for pair in pairs] for at, name in enumerate(("a", "b", "label"))}
    of_pairs |= {"kind": kinds, "near_duplicate": [False] * len(pairs)}
    related = {
        "place_a": [a for a, _ in relations],
        "place_b": [b for _, b in relations],
        "relation": ["may_be_same"] * len(relations),
        "evidence": [""] * len(relations),
    }
    tables = (
        _table({**usual, **photos}, PHOTOS_SCHEMA),
        _table({**of_pairs, **columns}, PAIRS_SCHEMA),
        _table(related, RELATIONS_SCHEMA),
    )
    return PairSet(Path("pairs"), {"fingerprint": "f", "parameters": {}}, *tables)


def _table(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.Table:
    return pa.table({one.name: pa.array(columns[one.name], one.type) for one in schema})


# Five photos of which one is unknown: 0, 1, 2 of one place (0-1 and 0-2 similar, 1-2 unknown), 3 of another, 4 lone.
U = (
    (0.9, -0.4, 1.2, -0.7),
    (0.6, -0.1, 0.8, 0.3),
    (-1.1, 0.5, -0.2, -0.9),
    (0.2, 0.7, -1.5, 0.4),
    (0.3, -0.6, 0.1, 0.8),
)
SIMILAR, DISSIMILAR, PLACE = ((0, 1), (0, 2)), ((0, 3), (1, 3), (2, 3)), (0, 0, 0, 1, -1)
GRADE = (0.8, 0.2)  # co-visibility of the similar pairs


def known() -> Known:
    """What is known of the five photos."""
    nothing = np.zeros((0, 2), np.int64)
    return Known(np.array(PLACE), np.array(SIMILAR), np.array(DISSIMILAR), nothing)


def batch(u: torch.Tensor | None = None, rows: tuple[int, ...] = (0, 1, 2, 3, 4), progress: float = 0.0) -> Batch:
    """The five photos as a batch, float64, with gradient; `rows` reorders them or leaves some out."""
    u = torch.tensor(U, dtype=torch.float64)[list(rows)].requires_grad_() if u is None else u
    n = len(U)
    similar, dissimilar = (torch.zeros(n, n, dtype=torch.bool) for _ in range(2))
    for matrix, pairs in ((similar, SIMILAR), (dissimilar, DISSIMILAR)):
        for i, j in pairs:
            matrix[i, j] = matrix[j, i] = True
    grade = torch.zeros(n, n)
    for (i, j), value in zip(SIMILAR, GRADE, strict=True):
        grade[i, j] = grade[j, i] = value
    place = torch.tensor(PLACE)
    same = (place[:, None] == place[None]) & (place >= 0)[:, None]
    unrelated = ~(same | torch.eye(n, dtype=torch.bool) | similar)
    at = {row: number for number, row in enumerate(rows)}
    drawn = [
        (at[i], at[j], label)
        for pairs, label in ((SIMILAR, 1), (DISSIMILAR, -1))
        for i, j in pairs
        if i in at and j in at
    ]
    order = torch.tensor(rows)
    whole = Batch(
        order,
        u,
        torch.nn.functional.normalize(torch.tensor(U, dtype=torch.float64), dim=1)[order],
        torch.tensor([one[:2] for one in drawn], dtype=torch.int64).reshape(-1, 2),
        torch.tensor([one[2] for one in drawn], dtype=torch.int8),
        *(one[order][:, order] for one in (similar, dissimilar, torch.zeros(n, n, dtype=torch.bool), unrelated)),
        place[order],
        progress,
        grade[order][:, order],
    )
    return whole


def learning(objective: str, bits: tuple[int, ...] = (8,), steps: int = 30, **changes: Any) -> TrainOptions:
    """A short training by an objective, of small batches where it draws pairs."""
    multiple = head_class(changes.get("head") or objective_class(objective).head).multiple
    options = TrainOptions(tuple(-(-one // multiple) * multiple for one in bits), objective, steps=steps)
    recipe = recipe_of(options, True, 1000)
    if recipe.pairs + recipe.dissimilar + recipe.neighbours:
        changes = {"batch_pairs": 16, **changes}
    return replace(options, **changes)


def maps_for(options: TrainOptions, x: np.ndarray) -> np.ndarray | None:
    """Maps float32 (N,width,3,3) that show x at each position, and more or less clearly, where the head reads maps."""
    if not reads_maps(head_of(options)):
        return None
    clear = np.random.default_rng(0).uniform(0.5, 1.5, size=(len(x), 1, 9)).astype(np.float32)
    return np.reshape(x[:, :, None] * clear, (*x.shape, 3, 3))


def outputs(head: Head, options: TrainOptions, x: np.ndarray) -> np.ndarray:
    """Outputs float32 (N,k) of a head for descriptors x, or for the maps that show them."""
    maps = maps_for(options, x)
    return head(x if maps is None else maps)


def fitted_outputs(x: np.ndarray, targets: Targets, options: TrainOptions) -> np.ndarray:
    """Outputs float32 (N,k) of the longest head learnt from x."""
    head = fit_heads(x, targets, options, maps=maps_for(options, x))[options.bits[-1]]
    return outputs(head, options, x)


def lacks(objective: str, targets: Targets) -> bool:
    """Whether an objective needs of 3D what these targets do not hold."""
    places = len(set(targets.group[targets.group >= 0].tolist()))
    needs = objective_class(objective).needs
    return bool(
        ("pairs" in needs and not (targets.label > 0).any())
        or ("dissimilar" in needs and not (targets.label < 0).any() and places < 2)
        or ("places" in needs and places < 2)
    )


def fit_or_refused(x: np.ndarray, targets: Targets, options: TrainOptions) -> dict[int, Head] | None:
    """The heads; None where the objective lacks what it needs, and says so."""
    if not lacks(options.objective, targets):
        return fit_heads(x, targets, options, maps=maps_for(options, x))
    with pytest.raises(UserError, match=f"^--objective {options.objective} needs .*, and 3D found .*; add photos"):
        fit_heads(x, targets, options, maps=maps_for(options, x))
    return None


def assert_resumes(
    x: np.ndarray, targets: Targets, options: TrainOptions, folder: Path, maps: np.ndarray | None = None
) -> None:
    """A run stopped in the middle and gone on with from its checkpoint ends in the same bytes as one never stopped."""
    bits = options.bits[-1]
    whole = fit_heads(x, targets, options, maps=maps)[bits]

    class Stopped(Exception):
        pass

    class Stopping(Checkpoint):
        def after(self, step: int, steps: int, *rest: Any) -> bool:
            super().after(step, steps, *rest)
            if step == steps // 2:
                self._save(step + 1, rest[-1])
                raise Stopped
            return False

    path = folder / "state.safetensors"
    with contextlib.suppress(Stopped):
        fit_heads(x, targets, options, checkpoint=Stopping(path, "id"), maps=maps)
    again = Checkpoint(path, "id")
    assert again.resume()
    found = fit_heads(x, targets, options, checkpoint=again, maps=maps)[bits]
    for name, value in whole.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], value)


def nothing_known(of: Batch) -> Batch:
    """The same photos of which nothing is known."""
    none = torch.zeros_like(of.similar)
    apart = ~torch.eye(len(of.u), dtype=torch.bool)
    return replace(
        of,
        pairs=of.pairs[:0],
        label=of.label[:0],
        similar=none,
        dissimilar=none,
        neighbours=none,
        unrelated=apart,
        place=torch.full_like(of.place, -1),
        grade=None if of.grade is None else torch.zeros_like(of.grade),
    )
