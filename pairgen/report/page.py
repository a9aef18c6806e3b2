"""The report of a pairs folder: one self-contained HTML page to judge the pairs by eye."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np

from hashpipe.common.files import write_text
from hashpipe.common.pages import fill
from hashpipe.pairgen.pairs.pairset import PairSet, read_pairset
from hashpipe.pairgen.report.histograms import histograms
from hashpipe.pairgen.report.pair_gallery import galleries, missed
from hashpipe.pairgen.report.places import shown_places

FAILURES_SHOWN, RELATIONS_SHOWN = 200, 100


def write_report(pairs_folder: Path) -> Path:
    """Write report.html into a pairs folder and return its path. Missing models, photos or metadata are tolerated."""
    pairset = read_pairset(pairs_folder)
    summary = pairset.meta.get("summary") or {}
    failures = _failures(pairset.folder / "failures.csv")
    places = shown_places(pairset)
    page = fill(
        "hashpipe.pairgen.report",
        "report.html",
        root=str(pairset.meta.get("root", "")),
        versions=pairset.meta.get("versions") or {},
        fingerprint=pairset.fingerprint,
        tiles=_tiles(pairset),
        seconds=_seconds(summary.get("seconds") or {}),
        notes=(summary.get("notes") or []) + _ignored(summary.get("ignored") or {}),
        splits=_splits(pairset),
        places=places,
        n_places=len(set(np.asarray(pairset.photo_column("place")).tolist()) - {-1}),
        clouds={one.number: one.model.cloud for one in places if one.model is not None},
        histograms=histograms(pairset),
        galleries=galleries(pairset),
        relations=pairset.relations.slice(0, RELATIONS_SHOWN).to_pylist(),
        n_relations=pairset.relations.num_rows,
        failures=failures[:FAILURES_SHOWN],
        failure_reasons=Counter(reason for _, _, reason in failures).most_common(8),
        n_failures=len(failures),
        parameters=pairset.meta.get("parameters") or {},
    )
    target = pairset.folder / "report.html"
    write_text(target, page)
    return target


def _tiles(pairset: PairSet) -> list[tuple[str, str, str]]:
    """Headline numbers: (number, what, a smaller remark)."""
    status, place, model = (np.asarray(pairset.photo_column(name)) for name in ("status", "place", "model"))
    kind = np.asarray(pairset.pair_column("kind"), dtype=object)
    ok = status == "ok"
    similar = pairset.pair_column("label") == 1
    return [
        (
            f"{ok.sum():,}",
            "photos",
            f"{_count(status == 'duplicate', 'duplicate')}, {(status == 'unreadable').sum():,} unreadable",
        ),
        (f"{len(set(place[place >= 0].tolist())):,}", "places", _count(np.unique(model[model >= 0]) >= 0, "3D model")),
        (f"{(model >= 0).sum():,}", "photos in 3D", f"{(ok & (place < 0)).sum():,} without a place"),
        (
            f"{similar.sum():,}",
            "similar pairs",
            f"{(kind == 'visible_surface').sum():,} by visible surface alone"
            + (f", {missed(pairset).sum():,} that matching missed" if missed(pairset).any() else ""),
        ),
        (f"{(~similar).sum():,}", "dissimilar pairs", f"{(kind == 'hard_negative').sum():,} hard"),
    ]


def _count(mask: np.ndarray, what: str) -> str:
    return f"{mask.sum():,} {what}{'' if mask.sum() == 1 else 's'}"


def _seconds(seconds: dict[str, float]) -> list[tuple[str, str, float]]:
    """Stage, its time as text, and its share of the longest in percent."""
    longest = max([*seconds.values(), 1e-9])
    return [(name, f"{value:.1f} s", 100 * value / longest) for name, value in seconds.items()]


def _ignored(ignored: dict[str, int]) -> list[str]:
    """One note for each kind of metadata that counts as unknown."""
    return [f"Of {count} photos metadata were ignored: {why}." for why, count in ignored.items()]


def _splits(pairset: PairSet) -> list[tuple[str, int, int, int]]:
    """(split, places, photos with a place, queries)."""
    split, place, query = (np.asarray(pairset.photo_column(name)) for name in ("split", "place", "query"))
    ok = np.asarray(pairset.photo_column("status")) == "ok"
    rows = []
    for name in ("train", "val", "test"):
        mine = (split == name) & (place >= 0) & ok
        rows.append((name, len(set(place[mine].tolist())), int(mine.sum()), int((mine & query).sum())))
    return rows


def _failures(path: Path) -> list[tuple[str, str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return [
            (row.get("photo") or "", row.get("stage") or "", row.get("reason") or "") for row in csv.DictReader(file)
        ]
