"""The report of a pairs folder: one self-contained HTML page to judge the pairs by eye."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import write_text
from hashpipe.pairgen.colmap.model_files import model_fault
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs.pairset import PairSet, read_pairset
from hashpipe.pairgen.photos.jpegs import data_uri
from hashpipe.pairgen.report.thumbnails import Thumbnail, surface_pair, thumbnailer
from hashpipe.pairgen.report.top_view import preview

MODELS_SHOWN, FAILURES_SHOWN, RELATIONS_SHOWN = 40, 200, 100
OVERLAP_EDGES = np.linspace(0, 1, 6)  # the similar pairs shown are spread over these bins

_GALLERIES = {
    "covisible": (
        "Similar: shared points",
        "Both photos observe the same reconstructed points. Spread over the bins of overlap, places in turn.",
    ),
    "visible_surface": (
        "Similar: visible surface",
        "Outside the rule for shared points (too few, or at another scale), but by the 3D model they see the same "
        "surface: dots of one colour are one point of it. Places in turn; in each first the pairs that matching "
        "missed, then those with the fewest shared points.",
    ),
    "hard_negative": (
        "Dissimilar: hard",
        "They look alike to the descriptor, were matched and verified, and share no geometry. Most alike first.",
    ),
    "negative": ("Dissimilar", "Different components of the match graph, with no sign of being the same place."),
    "imported": ("Imported", "What another program says; nothing was measured."),
}


@dataclass(frozen=True)
class Picture:
    """One photo of a shown pair: `uri` holds the thumbnail (empty if it could not be read)."""

    name: str
    uri: str


@dataclass(frozen=True)
class ShownPair:
    a: Picture
    b: Picture
    facts: list[tuple[str, str]]


@dataclass(frozen=True)
class Gallery:
    title: str
    text: str
    total: int
    pairs: list[ShownPair]
    tone: str  # similar | dissimilar


@dataclass(frozen=True)
class Histogram:
    """Bars of relative height 0-100 with their counts and ranges."""

    title: str
    note: str
    bars: list[tuple[str, int, float]]


def write_report(pairs_folder: Path) -> Path:
    """Write report.html into a pairs folder and return its path. Missing models, photos or metadata are tolerated."""
    import jinja2

    pairset = read_pairset(pairs_folder)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    summary = pairset.meta.get("summary") or {}
    failures = _failures(pairset.folder / "failures.csv")
    page = environment.get_template("report.html").render(
        root=str(pairset.meta.get("root", "")),
        versions=pairset.meta.get("versions") or {},
        fingerprint=pairset.fingerprint,
        tiles=_tiles(pairset),
        seconds=_seconds(summary.get("seconds") or {}),
        notes=summary.get("notes") or [],
        splits=_splits(pairset),
        models=_models(pairset),
        histograms=_histograms(pairset),
        galleries=_galleries(pairset),
        relations=pairset.relations.slice(0, RELATIONS_SHOWN).to_pylist(),
        n_relations=pairset.relations.num_rows,
        failures=failures[:FAILURES_SHOWN],
        failure_reasons=Counter(reason for _, _, reason in failures).most_common(8),
        n_failures=len(failures),
        parameters=pairset.meta.get("parameters") or {},
    )
    target = pairset.folder / "report.html"
    # Names of files on disk may hold bytes that are no text.
    write_text(target, page.encode("utf-8", "replace").decode("utf-8"))
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


def missed(pairset: PairSet) -> np.ndarray:
    """Which pairs are similar by 3D although matching them did not verify, or nobody tried; bool (m,)."""
    if pairset.meta.get("imported"):  # nothing was matched here
        return np.zeros(pairset.pairs.num_rows, bool)
    least = int((pairset.meta.get("parameters") or {}).get("min_inliers", BuildOptions.min_inliers))
    return np.asarray((pairset.pair_column("label") == 1) & (pairset.pair_column("inliers") < least))


def _count(mask: np.ndarray, what: str) -> str:
    return f"{mask.sum():,} {what}{'' if mask.sum() == 1 else 's'}"


def _seconds(seconds: dict[str, float]) -> list[tuple[str, str, float]]:
    """Stage, its time as text, and its share of the longest in percent."""
    longest = max([*seconds.values(), 1e-9])
    return [(name, f"{value:.1f} s", 100 * value / longest) for name, value in seconds.items()]


def _splits(pairset: PairSet) -> list[tuple[str, int, int, int]]:
    """(split, places, photos with a place, queries)."""
    split, place, query = (np.asarray(pairset.photo_column(name)) for name in ("split", "place", "query"))
    ok = np.asarray(pairset.photo_column("status")) == "ok"
    rows = []
    for name in ("train", "val", "test"):
        mine = (split == name) & (place >= 0) & ok
        rows.append((name, len(set(place[mine].tolist())), int(mine.sum()), int((mine & query).sum())))
    return rows


def _models(pairset: PairSet) -> list[dict[str, Any]]:
    """Pictures and sizes of the largest models on disk."""
    from hashpipe.pairgen.colmap.adapter import read_model, registered_in

    folder = pairset.folder / "models"
    numbered = (
        sorted((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name)) if folder.is_dir() else []
    )
    place = {m["model"]: m["place"] for m in (pairset.meta.get("summary") or {}).get("models", []) if "place" in m}
    shown = []
    for path in [one for one in numbered if not model_fault(one)][:MODELS_SHOWN]:
        try:
            model = read_model(path, {name: row for row, name in enumerate(registered_in(path))})
        except UserError:  # damaged all the same
            continue
        shown.append(
            {
                "number": int(path.name),
                "place": place.get(int(path.name)),
                "photos": len(model.photos),
                "points": len(model.points),
                "uri": data_uri(preview(model, (400, 300)), "png"),
            }
        )
    return shown


def _histograms(pairset: PairSet) -> list[Histogram]:
    similar = pairset.pair_column("label") == 1
    columns = {name: pairset.pair_column(name)[similar] for name in ("scale_change", "view_angle_deg", "inliers")}
    inliers = columns["inliers"]
    tenths, doubling = np.linspace(0, 1, 11), np.array([0, 15, 30, 60, 120, 240, 480, 960, 1920])
    return [
        _histogram(
            "Overlap", "shared points, the larger direction", _larger(pairset, "overlap")[similar], tenths, "{:.1f}"
        ),
        _histogram("Visible overlap", "the larger direction", _larger(pairset, "visible")[similar], tenths, "{:.1f}"),
        _histogram("Scale change", "ratio, at least 1", columns["scale_change"], np.linspace(1, 3, 11), "{:.1f}"),
        _histogram("Viewing angle", "degrees", columns["view_angle_deg"], np.arange(0, 91, 7.5), "{:.0f}"),
        _histogram("Inliers", "of the matched pairs", inliers[inliers >= 0], doubling, "{:.0f}"),
    ]


def _histogram(title: str, note: str, values: np.ndarray, edges: np.ndarray, form: str) -> Histogram:
    """Values beyond the ends count in the first and last bar; NaN is left out."""
    values = np.clip(values[np.isfinite(values)], edges[0], edges[-1])
    counts, _ = np.histogram(values, edges)
    tallest = max(1, int(counts.max()))
    ranges = [f"{form.format(low)} to {form.format(high)}" for low, high in pairwise(edges)]
    return Histogram(title, note, [(r, int(n), 100 * n / tallest) for r, n in zip(ranges, counts, strict=True)])


def _larger(pairset: PairSet, name: str) -> np.ndarray:
    return np.maximum(pairset.pair_column(f"{name}_ab"), pairset.pair_column(f"{name}_ba"))


def _galleries(pairset: PairSet) -> list[Gallery]:
    kind = np.asarray(pairset.pair_column("kind"), dtype=object)
    place, a = np.asarray(pairset.photo_column("place")), pairset.pair_column("a")
    overlap = np.nan_to_num(_larger(pairset, "overlap"))
    similarity = np.nan_to_num(pairset.pair_column("similarity"))
    bins = np.digitize(overlap, OVERLAP_EDGES[1:-1])
    thumbnail = thumbnailer(pairset)

    def gallery(
        title: str, text: str, name: str, groups: np.ndarray, order: np.ndarray, count: int, tone: str
    ) -> Gallery:
        rows = np.flatnonzero(kind == name)
        rows = rows[np.argsort(order[rows], kind="stable")]
        chosen = spread(groups[rows].tolist(), count)
        return Gallery(title, text, len(rows), [_shown(pairset, int(rows[i]), thumbnail) for i in chosen], tone)

    noise = np.random.default_rng(0).random(len(kind))
    by_bin_and_place = np.array([f"{b}/{p}" for b, p in zip(bins, place[a], strict=True)], dtype=object)
    return [
        gallery(*_GALLERIES["covisible"], "covisible", by_bin_and_place, noise, 18, "similar"),
        gallery(*_GALLERIES["visible_surface"], "visible_surface", place[a], overlap - missed(pairset), 14, "similar"),
        gallery(*_GALLERIES["hard_negative"], "hard_negative", np.arange(len(kind)), -similarity, 14, "dissimilar"),
        gallery(*_GALLERIES["negative"], "negative", place[a], noise, 10, "dissimilar"),
        gallery(*_GALLERIES["imported"], "imported", place[a], noise, 18, "similar"),
    ]


def spread(groups: Sequence[Any], count: int) -> list[int]:
    """Indices of up to `count` entries, taking the first of every group in turn, then the second, and so on."""
    members: dict[Any, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    turns = [(turn, index) for mine in members.values() for turn, index in enumerate(mine)]
    return [index for _, index in sorted(turns)[:count]]


def _shown(pairset: PairSet, row: int, thumbnail: Thumbnail) -> ShownPair:
    pair = {name: pairset.pairs[name][row].as_py() for name in pairset.pairs.column_names}
    names = pairset.photos["path"]
    facts = []
    if pair["label"] == 1 and pair["kind"] != "imported":
        facts = [
            ("shared points", f"{pair['shared_points']:,}"),
            ("overlap", f"{pair['overlap_ab']:.2f} / {pair['overlap_ba']:.2f}"),
            ("visible surface", f"{pair['visible_ab']:.2f} / {pair['visible_ba']:.2f}"),
            ("scale change", f"{pair['scale_change']:.2f}"),
            ("viewing angle", f"{pair['view_angle_deg']:.0f}°"),
        ]
    facts.append(("inliers", "never matched" if pair["inliers"] < 0 else f"{pair['inliers']:,}"))
    if pair["similarity"] is not None and np.isfinite(pair["similarity"]):
        facts.append(("similarity", f"{pair['similarity']:.2f}"))
    if pair["near_duplicate"]:
        facts.append(("near duplicate", "yes"))
    ends = pair["a"], pair["b"]
    marked = surface_pair(pairset, *ends) if pair["kind"] == "visible_surface" else None
    uris = marked or (thumbnail(ends[0]), thumbnail(ends[1]))
    a, b = (Picture(names[end].as_py(), uri) for end, uri in zip(ends, uris, strict=True))
    return ShownPair(a, b, facts)


def _failures(path: Path) -> list[tuple[str, str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return [
            (row.get("photo") or "", row.get("stage") or "", row.get("reason") or "") for row in csv.DictReader(file)
        ]
