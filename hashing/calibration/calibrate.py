"""Calibrate: from the collection's own similar and dissimilar pairs to the radius that keeps a promise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.extras import optional
from hashpipe.common.files import open_workspace, read_json
from hashpipe.hashing.calibration.calibration import FILE, Calibration, write_calibration
from hashpipe.hashing.calibration.error_rates import Comparisons, Rates, compare, rates, suggest
from hashpipe.hashing.calibration.options import CalibrateOptions
from hashpipe.hashing.codes.codes_file import CodeSet, read_codes
from hashpipe.pairgen.pairs.pairset import PairSet, read_pairset

_ENOUGH_QUERIES, _ENOUGH_PLACES = 15, 3  # query photos with a similar one, and their places
_MOST_QUERIES = 2000  # more do not change a rate
_SHOWN = 12  # radii in the table


@dataclass(frozen=True)
class CalibrateResult:
    """The calibration, and where it and its plot were written; None where it could not be drawn."""

    calibration: Calibration
    path: Path
    plot: Path | None

    def as_json(self) -> dict[str, Any]:
        one = self.calibration
        return {
            **one.as_json(),
            "false_match_rate": one.false_match_rate(one.radius),
            "false_matches_per_query": one.false_matches_per_query(one.radius),
            "path": str(self.path),
            "plot": None if self.plot is None else str(self.plot),
        }

    def as_text(self) -> str:
        one, on = self.calibration, self.calibration.measured_on
        lines = [
            f"{one.bits} bits, measured on {on['photos']}: {on['queries']} query photos of {on['places']} places, "
            f"{on['comparisons']} comparisons with other places, {on['similar']} with similar photos",
            "",
            "radius  false-match rate: expected, observed    per query  recall                look-alikes",
        ]
        lines += [_table_line(one, radius) for radius in _shown_radii(one)]
        rate = one.false_match_rate(one.radius)
        lines += [
            "expected: the rate to reckon with, as observed where it was seen often enough, continued below that; in "
            "brackets its 95 % interval. per query: expected false matches. < marks the suggested radius.",
            "",
            f"Suggested radius {one.radius}: false-match rate {rate:.2g} (wanted {one.wanted:.2g}), "
            f"{one.false_matches_per_query(one.radius):.2g} false matches per query among {one.photos} photos"
            + (f", recall {one.recall[one.radius]:.3f}" if one.recall else ""),
            *one.notes,
            f"{self.path} is used by `hashpipe search`" + ("" if self.plot is None else f"; the plot is {self.plot}"),
        ]
        return "\n".join(lines)


def calibrate(workspace: Path, options: CalibrateOptions) -> CalibrateResult:
    """Measure rates by radius on the pairs of a workspace, suggest a radius, write both and a plot.

    Raises UserError where there are no codes of the workspace's photos or no photos of different places.
    """
    workspace = open_workspace(workspace, create=False)
    pairset = read_pairset(workspace / "pairs")
    codeset = read_codes(options.codes or workspace / "codes.parquet")
    codes, known = codes_by_photo(pairset, codeset)
    if not known.any():
        raise UserError(
            f"{options.codes or workspace / 'codes.parquet'} holds no photo of {pairset.folder}; "
            "encode the photos that the pairs were built from."
        )
    found, described = _best_comparisons(pairset, codes, known, codeset.space.bits)
    if not found.false.sum():
        raise UserError(
            f"{pairset.folder} holds no coded photos of different places, so false matches cannot be counted; "
            "build pairs of more places."
        )
    measured = rates(found, options.seed)
    radius, sure = suggest(measured, options.false_match_rate)
    notes = _notes(pairset, workspace, codeset, known, found, measured, radius, sure, options.false_match_rate)
    names = ("expected", "false", "false_low", "false_high", "recall", "recall_low", "recall_high", "look_alikes")
    calibration = Calibration(
        model=codeset.space.model,
        space=codeset.space.fingerprint,
        bits=codeset.space.bits,
        wanted=options.false_match_rate,
        radius=radius,
        sure=sure,
        photos=len(codeset),
        similar_per_query=_similar_per_query(found),
        pairs=pairset.fingerprint,
        measured_on=described,
        notes=tuple(notes),
        **{name: _plain(getattr(measured, name)) for name in names},
    )
    plot = workspace / "calibration.png"
    plot.unlink(missing_ok=True)  # one of an older calibration would stand for this one
    write_calibration(workspace, calibration)
    with optional("The plot of the calibration", "the calibration"):
        from hashpipe.hashing.calibration.plot import draw

        draw(plot, calibration, found)
    return CalibrateResult(calibration, workspace / FILE, plot if plot.exists() else None)


def codes_by_photo(pairset: PairSet, codeset: CodeSet) -> tuple[np.ndarray, np.ndarray]:
    """Codes uint8 (photos, W) by photo id of a PairSet, matched by content, and bool (photos,) where there is one."""
    shas = pairset.photos["sha256"].to_pylist()
    rows = {sha: row for row, sha in enumerate(codeset.sha256)}
    at = np.array([rows.get(sha, -1) for sha in shas], np.int64).reshape(-1)
    known = (at >= 0) & (pairset.photo_column("status").astype(str) == "ok")
    codes = np.zeros((len(at), codeset.space.width), np.uint8)
    codes[known] = codeset.codes[at[known]]
    return codes, known


def query_groups(pairset: PairSet) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """What may stand for new photos, best first: (in words, queries, database), int64 photo ids.

    Held-out photos of places whose 3D pairs nobody learnt from; then of any place; then all photos, which is
    optimistic.
    """
    place, split = pairset.photo_column("place"), pairset.photo_column("split").astype(str)
    ok, held = pairset.photo_column("status").astype(str) == "ok", pairset.photo_column("query").astype(bool)
    placed = ok & (place >= 0)
    database = np.flatnonzero(ok & ~held)
    return [
        ("held-out photos of places not trained on", np.flatnonzero(placed & held & (split == "test")), database),
        ("held-out photos", np.flatnonzero(placed & held), database),
        ("photos that were learnt from", np.flatnonzero(placed), np.flatnonzero(ok)),
    ]


def _best_comparisons(
    pairset: PairSet, codes: np.ndarray, known: np.ndarray, bits: int
) -> tuple[Comparisons, dict[str, Any]]:
    """Comparisons of the first group of queries that is large enough, and their description."""
    for group, queries, database in query_groups(pairset):
        words = group
        chosen = np.random.default_rng(0).permutation(queries[known[queries]])[:_MOST_QUERIES]
        found = compare(pairset, codes, known, bits, np.sort(chosen), database)
        answerable = found.similar.sum(axis=1) > 0
        if answerable.sum() >= _ENOUGH_QUERIES and len(np.unique(found.place[answerable])) >= _ENOUGH_PLACES:
            break
    described = {
        "photos": words,
        "queries": len(found.place),
        "places": len(np.unique(found.place)),
        "comparisons": int(found.false.sum()),
        "similar": int(found.similar.sum()),
        "look_alikes": int(found.look_alikes.sum()),
        "place_comparisons": int(found.units.sum()),
    }
    return found, described


def _notes(
    pairset: PairSet,
    workspace: Path,
    codeset: CodeSet,
    known: np.ndarray,
    found: Comparisons,
    measured: Rates,
    radius: int,
    sure: bool,
    wanted: float,
) -> list[str]:
    notes = []
    if measured.expected[0] > wanted:
        notes.append(
            f"Even at radius 0 the expected false-match rate is above {wanted:.2g}; "
            "use longer codes, or build pairs of more places."
        )
    elif not sure:
        notes.append(
            f"Too few comparisons to confirm {wanted:.2g} (95 % upper bound {measured.false_high[radius]:.2g})."
        )
    if not found.similar.sum():
        notes.append("No query has a similar photo: recall is unknown.")
    config = workspace / "model" / "config.json"
    if config.exists() and read_json(config).get("pairset") not in (None, pairset.fingerprint):
        notes.append(
            "The model was trained on another version of the pairs and may have seen these photos: rates may be low."
        )
    missing = int((pairset.photo_column("status").astype(str) == "ok").sum() - known.sum())
    if missing:
        notes.append(f"{missing} photos of the pairs have no code and are left out.")
    return notes


def _similar_per_query(found: Comparisons) -> float:
    return float(found.similar.sum() / max(len(found.similar), 1))


def _plain(values: np.ndarray) -> tuple[float, ...]:
    """Rates as numbers for JSON; nothing where nothing is known."""
    return () if np.isnan(values).all() else tuple(float(value) for value in np.round(values, 9))


def _shown_radii(one: Calibration) -> list[int]:
    last = next((radius for radius, rate in enumerate(one.false) if rate > 0.05), one.bits)
    last = max(last, one.radius)
    step = max(1, -(-last // _SHOWN))
    return sorted({*range(0, last + 1, step), one.radius})


def _table_line(one: Calibration, radius: int) -> str:
    bounds = f" [{one.false_low[radius]:.1e}, {one.false_high[radius]:.1e}]" if one.false_low else ""
    recall = f"{one.recall[radius]:.3f}" if one.recall else "-"
    if one.recall_low:
        recall += f" [{one.recall_low[radius]:.3f}, {one.recall_high[radius]:.3f}]"
    alike = f"{one.look_alikes[radius]:.3f}" if one.look_alikes else "-"
    mark = " <" if radius == one.radius else ""
    return (
        f"{radius:6}  {one.expected[radius]:.1e}  {one.false[radius]:.1e}{bounds:22}  "
        f"{one.false_matches_per_query(radius):9.2g}  {recall:22}{alike}{mark}"
    )
