"""The table of docs/results/labels.json."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nested import results

from hashpipe.hashing.training.objectives import OBJECTIVES
from supervised.fits import BASELINES, FLOAT
from supervised.published import BITS, PUBLISHED

KEPT = 4  # decimals
PAGE = Path(__file__).with_name("labels.md")  # with why values differ from published ones; `make docs` fills its table


def publish(asked: argparse.Namespace) -> None:
    """Write labels.json from the lines of the last data and code, and the page around it where there is none."""
    lines = results.read(asked.results)
    first = next(line for line in lines if "run" in line)
    last = [line for line in lines if "key" in line][-1]
    own = [line for line in lines if "key" in line and (line["data"], line["code"]) == (last["data"], last["code"])]
    content = {
        "command": "python benchmarks/bench_labels.py run ROOT CACHE RESULTS.jsonl "
        + " ".join(_without_files(first["command"].split()[5:])),
        "commit": asked.commit,
        "seeds": sorted({line["seed"] for line in own}),
        "machine": asked.machine,
        "tables": [table(own, first)],
    }
    (asked.folder / "labels.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if not (asked.folder / PAGE.name).exists():
        (asked.folder / PAGE.name).write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")


def table(lines: Sequence[dict[str, Any]], run: dict[str, Any]) -> dict[str, Any]:
    """A row for each method, best first at the longest code; then what learnt nothing, and float."""
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    seconds: dict[str, list[float]] = defaultdict(list)
    unsupervised = {line["method"] for line in lines if line.get("supervised") is False}
    for line in lines:
        found[line["method"]][line["bits"]].append(line["map"])
        seconds[line["method"]] += [line["fit_seconds"]] if "fit_seconds" in line else []
    lengths = sorted({line["bits"] for line in lines if line["bits"]})
    learnt = sorted((name for name in OBJECTIVES if name in found), key=lambda name: -_last(found[name]))
    rows = []
    for name in (*learnt, *(one for one in (*BASELINES, FLOAT) if one in found)):
        own = found[name]
        cells = [_cell(own[0] if name == FLOAT else own.get(bits, [])) for bits in lengths]
        figures = PUBLISHED.get(name)
        told = [None if figures is None or bits not in BITS else figures.values[BITS.index(bits)] for bits in lengths]
        took = round(float(np.median(seconds[name])), 1) if seconds[name] else None
        shown = f"{name}, reads no labels" if name in unsupervised else name
        rows.append([shown, *cells, took, *told, "" if figures is None else figures.source])
    sizes = run["sizes"]
    caption = (
        f"SUPERVISED, for comparison only. {run['protocol']}: {sizes['queries']:,} queries, {sizes['training']:,} "
        f"labelled photos, {sizes['database']:,} searched. mAP on frozen MobileNetV2, and as published, by bits"
    )
    columns = [
        "method",
        *(f"{bits}" for bits in lengths),
        "seconds to learn",
        *(f"published {bits}" for bits in lengths),
    ]
    return {"name": "labels", "caption": caption, "columns": [*columns, "published by"], "rows": rows}


def _last(by_bits: dict[int, list[float]]) -> float:
    return float(np.mean(by_bits[max(by_bits)]))


def _cell(values: Sequence[float]) -> float | list[float] | None:
    """A mean, with its deviation over seeds where there are several."""
    if not values:
        return None
    mean = round(float(np.mean(values)), KEPT)
    return [mean, round(float(np.std(values)), KEPT)] if len(values) > 1 else mean


def _without_files(words: Sequence[str]) -> list[str]:
    """The options of a command, files named by what they are."""
    found = list(words)
    if "--weights" in found:
        found[found.index("--weights") + 1] = "FILE"
    return found
