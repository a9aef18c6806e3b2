"""Pictures of a training run: loss parts by step, and how far similar and dissimilar photos lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.hashing import codes
from hashpipe.hashing.network import HashModel
from hashpipe.hashing.targets import Targets

_MOST_PAIRS = 20_000


def write(
    folder: Path, model: HashModel, metrics: Sequence[dict[str, Any]], descriptors: np.ndarray, targets: Targets
) -> None:
    """Write loss_<bits>.png and distances_<bits>.png into `folder` (made when missing)."""
    folder.mkdir(parents=True, exist_ok=True)
    for bits in model.bits:
        lines = [line for line in metrics if line["bits"] == bits]
        if lines:
            _losses(folder / f"loss_{bits}.png", lines, bits)
        _distances(folder / f"distances_{bits}.png", model, bits, descriptors, targets)


def hamming(bits_a: np.ndarray, bits_b: np.ndarray) -> np.ndarray:
    """Hamming distances of rows of two bool (P,k) arrays, int64 (P,)."""
    return (bits_a != bits_b).sum(axis=1)


def _losses(path: Path, lines: Sequence[dict[str, Any]], bits: int) -> None:
    figure, axes = _figure(f"{bits} bits: parts of the loss", "step", "loss")
    for name in lines[0]:
        if name not in ("bits", "step", "edges"):
            axes.plot([line["step"] for line in lines], [line.get(name, np.nan) for line in lines], label=name)
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.legend(fontsize=8)
    figure.savefig(path)


def _distances(path: Path, model: HashModel, bits: int, descriptors: np.ndarray, targets: Targets) -> None:
    code = codes.signs(model.codes_input(descriptors, bits), model.thresholds[bits])
    generator = np.random.default_rng(0)
    kinds = {
        "similar": _some(targets.similar, generator),
        "dissimilar": _some(targets.dissimilar, generator),
        "random": generator.integers(len(code), size=(min(_MOST_PAIRS, len(code) ** 2), 2)),
    }
    figure, axes = _figure(f"{bits} bits: distances of photos learnt from", "Hamming distance", "share of pairs")
    edges = np.arange(bits + 2) - 0.5
    for name, pairs in kinds.items():
        if len(pairs):
            counts = np.histogram(hamming(code[pairs[:, 0]], code[pairs[:, 1]]), edges)[0]
            axes.stairs(counts / counts.sum(), edges, label=f"{name} ({len(pairs)})", fill=True, alpha=0.5)
    axes.legend(fontsize=8)
    figure.savefig(path)


def _some(pairs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return pairs if len(pairs) <= _MOST_PAIRS else pairs[generator.choice(len(pairs), _MOST_PAIRS, replace=False)]


def _figure(title: str, across: str, up: str) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    return figure, axes
