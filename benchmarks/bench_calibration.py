"""Does a calibrated radius keep its promise on photos that were not used for it?

    python benchmarks/bench_calibration.py WORKSPACE [--codes FILE] [--wanted 0.01 0.003 0.001] [--seeds 0 1 2]

For every seed the places of the held-out photos, and the photos without a place, are split into two halves. The radius
comes from one half, its false-match rate and recall from the other; then the halves change roles. Three rules are set
side by side: the largest radius whose expected rate is as wanted (what `hashpipe calibrate` suggests), the largest
whose observed rate is, and the largest whose upper 95 % bound is. Ratios are measured / wanted: at most 1 keeps the
promise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from hashpipe.hashing.calibration.calibrate import codes_by_photo, query_groups
from hashpipe.hashing.calibration.error_rates import Comparisons, Rates, compare, rates
from hashpipe.hashing.codes.codes_file import read_codes
from hashpipe.pairgen.pairs.pairset import PairSet, read_pairset

RULES = {"suggested": "expected", "observed": "false", "upper bound": "false_high"}


def halves(pairset: PairSet, seed: int) -> list[np.ndarray]:
    """Photo ids of two halves: places and photos without one are dealt out at random."""
    place = pairset.photo_column("place").astype(np.int64)
    unit = np.where(place >= 0, place, place.max(initial=-1) + 1 + np.arange(len(place)))
    side = np.random.default_rng(seed).permutation(unit.max() + 1) % 2
    return [np.flatnonzero(side[unit] == half) for half in (0, 1)]


def half_of(
    pairset: PairSet, codes: np.ndarray, known: np.ndarray, bits: int, inside: np.ndarray, group: int
) -> Comparisons:
    _, queries, database = query_groups(pairset)[group]
    chosen = np.intersect1d(queries[known[queries]], inside)
    return compare(pairset, codes, known, bits, chosen, np.intersect1d(database, inside))


def radius_of(found: Rates, wanted: float, rule: str) -> int:
    fine = np.flatnonzero(getattr(found, RULES[rule]) <= wanted)
    return int(fine[-1]) if len(fine) else -1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--codes", type=Path, help="codes file, else WORKSPACE/codes.parquet")
    parser.add_argument("--wanted", type=float, nargs="+", default=[0.01, 0.003, 0.001])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--test-places", action="store_true", help="only places that training saw no 3D of")
    arguments = parser.parse_args()
    pairset = read_pairset(arguments.workspace / "pairs")
    codeset = read_codes(arguments.codes or arguments.workspace / "codes.parquet")
    codes, known = codes_by_photo(pairset, codeset)
    bits, group = codeset.space.bits, 0 if arguments.test_places else 1
    rows = []
    for seed in arguments.seeds:
        parts = [half_of(pairset, codes, known, bits, inside, group) for inside in halves(pairset, seed)]
        measured = [rates(part, seed) for part in parts]
        for fit, test in ((0, 1), (1, 0)):
            for wanted in arguments.wanted:
                for rule in RULES:
                    radius = radius_of(measured[fit], wanted, rule)
                    false = float(measured[test].false[radius]) if radius >= 0 else float("nan")
                    recall = float(measured[test].recall[radius]) if radius >= 0 else float("nan")
                    rows.append((rule, wanted, seed, fit, radius, false, recall, int(parts[test].false.sum())))
    print(f"{bits} bits, {len(codeset)} photos; {query_groups(pairset)[group][0]}")
    print("rule         wanted   seed half  radius  measured  ratio   recall  comparisons")
    for rule, wanted, seed, fit, radius, false, recall, count in rows:
        ratio = false / wanted
        print(
            f"{rule:12} {wanted:<8g} {seed:4} {fit:4}  {radius:6}  {false:8.5f}  {ratio:5.2f}  {recall:6.3f}  {count}"
        )
    print("\nrule         wanted   pooled rate  ratio  kept  median radius  recall  no radius")
    for rule in RULES:
        for wanted in arguments.wanted:
            mine = [row for row in rows if row[:2] == (rule, wanted)]
            kept = [row for row in mine if row[4] >= 0]
            pooled = sum(row[5] * row[7] for row in kept) / max(sum(row[7] for row in kept), 1)
            recall = np.mean([row[6] for row in kept]) if kept else float("nan")
            radius = np.median([row[4] for row in kept]) if kept else float("nan")
            kept_share = np.mean([row[5] <= wanted for row in kept]) if kept else float("nan")
            none = f"{len(mine) - len(kept)} of {len(mine)}"
            print(
                f"{rule:12} {wanted:<8g} {pooled:11.5f}  {pooled / wanted:5.2f}  {kept_share:4.2f}  {radius:13g}  "
                f"{recall:6.3f}  {none}"
            )


if __name__ == "__main__":
    main()
