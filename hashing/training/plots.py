"""Pictures of a training: loss parts by step, distances of similar and dissimilar photos by epoch, state of bits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.hashing.codes import packing
from hashpipe.hashing.data.pair_labels import Targets
from hashpipe.hashing.features.stored_maps import Maps
from hashpipe.hashing.models.network import HashModel

_MOST_PAIRS = 20_000
_MOST_PHOTOS = 20_000  # that balance and correlation of bits are taken from
_COLOURS = {"similar": "tab:blue", "dissimilar": "tab:orange", "random": "tab:green"}


def write(
    folder: Path, model: HashModel, metrics: Sequence[dict[str, Any]], seen: np.ndarray | Maps, targets: Targets
) -> None:
    """Write loss_, epochs_, distances_ and bits_<bits>.png into `folder` (made when missing).

    loss and epochs only where the metrics hold lines of them; loss_network.png where a network was fine-tuned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network = [line for line in metrics if "of" in line]
    if network:
        _losses(folder / "loss_network.png", network, "fine-tuning")
    for bits in model.bits:
        lines = [line for line in metrics if line["bits"] == bits and "of" not in line]
        if lines:
            _losses(folder / f"loss_{bits}.png", lines, f"{bits} bits")
        code = packing.signs(model.codes_input(seen, bits), model.thresholds[bits])
        found = distance_counts(code, bits, targets)
        if epochs := [line for line in lines if "distances" in line]:
            _epochs(folder / f"epochs_{bits}.png", epochs, bits, found)
        _distances(folder / f"distances_{bits}.png", found, bits)
        _bits(folder / f"bits_{bits}.png", code[:_MOST_PHOTOS], bits)


def hamming(bits_a: np.ndarray, bits_b: np.ndarray) -> np.ndarray:
    """Hamming distances of rows of two bool (P,k) arrays, int64 (P,)."""
    return (bits_a != bits_b).sum(axis=1)


def some(pairs: np.ndarray) -> np.ndarray:
    """At most 20,000 of the pairs (P,2), always the same ones."""
    if len(pairs) <= _MOST_PAIRS:
        return pairs
    return pairs[np.random.default_rng(0).choice(len(pairs), _MOST_PAIRS, replace=False)]


def _losses(path: Path, metrics: Sequence[dict[str, Any]], title: str) -> None:
    """Parts of the loss on one plain scale; the validation, a share, in a panel of its own where there is one."""
    lines, checks = ([line for line in metrics if key in line] for key in ("loss", "validation"))
    figure, panels = _figure(f"{title}: parts of the loss", "step", "loss", 2 if checks else 1)
    axes = panels[0] if checks else panels
    names = dict.fromkeys(name for line in lines for name in line if name not in ("bits", "step", "edges", "of"))
    for name in names:
        if name != "validation":
            axes.plot([line["step"] for line in lines], [line.get(name, np.nan) for line in lines], label=name)
    axes.axhline(0, color="black", linewidth=0.6)
    if checks:
        steps, scores = ([line[key] for line in checks] for key in ("step", "validation"))
        panels[1].plot(steps, scores, "k.-")
        panels[1].set_ylim(0, 1)
        panels[1].set_xlabel("step")
        panels[1].set_title("mAP of the validation places", fontsize=10)
    _key(axes)
    figure.savefig(path)


def _epochs(path: Path, lines: Sequence[dict[str, Any]], bits: int, stored: dict[str, np.ndarray]) -> None:
    """One curve for each time the distances were counted, from light to dark; dashed those of the stored model.

    stored: counts of distances 0 .. bits by kind. What comes after the last step, thresholds among it, is between the
    darkest curve and the dashed one.
    """
    figure, axes = _figure(
        f"{bits} bits: distances while learning, light to dark", "Hamming distance, bits", "share of pairs"
    )
    for number, line in enumerate(lines):
        for kind, counts in line["distances"].items():
            last = number == len(lines) - 1
            shares = np.array(counts) / max(sum(counts), 1)
            label = f"{kind}, step {line['step']}" if last else None
            shade = min(1.0, 0.2 + 0.8 * (number + 1) / len(lines))
            axes.plot(np.arange(bits + 1), shares, color=_COLOURS[kind], alpha=shade, label=label)
    for kind in dict.fromkeys(kind for line in lines for kind in line["distances"]):
        if kind in stored:
            shares = stored[kind] / max(1, stored[kind].sum())
            label = f"{kind}, stored: after the last step, with thresholds"
            axes.plot(np.arange(bits + 1), shares, "--", color=_COLOURS[kind], linewidth=1.2, label=label)
    axes.set_ylim(bottom=0)
    _key(axes)
    figure.savefig(path)


def distance_counts(code: np.ndarray, bits: int, targets: Targets) -> dict[str, np.ndarray]:
    """Counts of Hamming distances 0 .. bits, int64 (bits+1,), of similar, dissimilar and random pairs, where there are.

    code: bool (N,bits). No random pair is a photo with itself.
    """
    generator = np.random.default_rng(0)
    random = np.zeros((0, 2), np.int64)
    if len(code) > 1:
        a, step = generator.integers(len(code), size=_MOST_PAIRS), generator.integers(1, len(code), size=_MOST_PAIRS)
        random = np.stack([a, (a + step) % len(code)], axis=1)[: min(_MOST_PAIRS, len(code) ** 2)]
    kinds = {"similar": some(targets.similar), "dissimilar": some(targets.dissimilar), "random": random}
    return {
        name: np.bincount(hamming(code[pairs[:, 0]], code[pairs[:, 1]]), minlength=bits + 1)
        for name, pairs in kinds.items()
        if len(pairs)
    }


def _distances(path: Path, found: dict[str, np.ndarray], bits: int) -> None:
    figure, axes = _figure(
        f"{bits} bits: distances of photos learnt from, stored model", "Hamming distance, bits", "share of pairs"
    )
    edges = np.arange(bits + 2) - 0.5
    for name, counts in found.items():
        label = f"{name} ({counts.sum():,} pairs)"
        axes.stairs(counts / counts.sum(), edges, label=label, fill=True, alpha=0.5, color=_COLOURS[name])
    _key(axes)
    figure.savefig(path)


def _key(axes: Any) -> None:
    """The key below the curves, not on them."""
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(-0.02, -0.16), ncol=2, frameon=False)


def _bits(path: Path, code: np.ndarray, bits: int) -> None:
    """How often each bit is 1, and the correlation of each two bits (0 for a bit that never changes)."""
    figure, (left, right) = _figure(f"{bits} bits: balance", "bit", "share of ones", 2)
    left.bar(np.arange(bits), code.mean(axis=0), width=1.0)
    left.axhline(0.5, color="black", linewidth=0.8)
    left.set_ylim(0, 1)
    picture = right.imshow(correlation(code), vmin=-1, vmax=1, cmap="RdBu", interpolation="nearest")
    right.set_title("correlation of bits", fontsize=10)
    figure.colorbar(picture, ax=right, shrink=0.8, ticks=(-1, 0, 1))
    figure.savefig(path)


def correlation(code: np.ndarray) -> np.ndarray:
    """Correlation of bits of bool (N,k) codes, float64 (k,k), diagonal 0; a constant bit correlates with none."""
    centred = code - code.mean(axis=0)
    spread = np.sqrt(np.square(centred).sum(axis=0))
    unit = centred / np.where(spread > 0, spread, 1.0)
    found = unit.T @ unit
    np.fill_diagonal(found, 0.0)
    return np.asarray(found)


def _figure(title: str, across: str, up: str, panels: int = 1) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 if panels == 1 else 9, 4.6), dpi=100)
    figure.subplots_adjust(0.14 / panels + 0.01, 0.26, 0.97, 0.92)  # laying out by measuring takes longer than drawing
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels)
    first = axes if panels == 1 else axes[0]
    first.set_title(title, fontsize=10)
    first.set_xlabel(across)
    first.set_ylabel(up)
    return figure, axes
