"""Choose between variants of the learner on one half of the places, and report the chosen one on the other.

    python benchmarks/bench_learner.py WORKSPACE RELEVANCE ... --half choose --variant "hidden=0" ... --save net.json
    python benchmarks/bench_learner.py ... --backbone vlad ... --half choose --variant "hidden=0" ... --save vlad.json
    python benchmarks/choose_learner.py net.json vlad.json

A cell is a descriptor, a protocol and a code length. A variant's lead in it is its mAP over the places of the choosing
half less that of the better ITQ (places never seen: re-centred ITQ). Its score is the mean lead over all cells, each
counting at most CAP, so that a large lead does not pay for a loss elsewhere. `ours`, the default, gives way to the
variant of the highest score if that is higher by more than one standard error of the difference (bootstrap over
places). Only the one chosen is then looked at on the reporting half.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bench_learner import BASELINES, rivals_of

CAP = 0.02
DRAWS = 2000
Cell = tuple[str, str, int]  # descriptor, protocol, bits
Scores = dict[tuple[Cell, str, str], dict[str, float]]  # cell, method, half -> mAP by place


def read(paths: Sequence[Path]) -> Scores:
    """Scores of all files that --save wrote; raises SystemExit where two have the same cell."""
    found: Scores = {}
    for path in paths:
        kept = json.loads(path.read_text())
        for one in kept["scores"]:
            if one["bits"] is None:  # float, which no variant is held against
                continue
            key = ((kept["descriptor"], one["form"], one["bits"]), one["method"], one["half"])
            if key in found:
                raise SystemExit(f"{path}: {key[1]} at {key[0]} is in another file too; give each run once")
            found[key] = one["map"]
    return found


def variants(scores: Scores) -> list[str]:
    """Names of what was learnt, `ours` first."""
    names = {method for _, method, _ in scores if method.split("/")[0] not in BASELINES}
    return ["ours", *sorted(names - {"ours"})]


def cells(scores: Scores) -> list[Cell]:
    return sorted({cell for cell, method, _ in scores if method == "ours"})


def draws(scores: Scores, half: str) -> list[dict[str, float]]:
    """Weights of the places: all alike, then DRAWS times as often as a bootstrap takes them."""
    places = sorted({place for (_, _, one), by_place in scores.items() if one == half for place in by_place})
    taken = np.random.default_rng(0).multinomial(len(places), np.full(len(places), 1 / len(places)), size=DRAWS)
    return [dict(zip(places, row.tolist(), strict=True)) for row in (np.ones(len(places)), *taken)]


def mean(by_place: dict[str, float], weights: Sequence[dict[str, float]]) -> np.ndarray:
    """mAP over places under each of the weights, float (W,); a draw without any of the places gives nan."""
    amounts = np.array([[one[place] for place in by_place] for one in weights], float)
    with np.errstate(invalid="ignore"):
        return amounts @ np.array(list(by_place.values())) / amounts.sum(axis=1)


def lead(scores: Scores, cell: Cell, name: str, half: str, weights: Sequence[dict[str, float]]) -> np.ndarray:
    """How far a variant lies above the better ITQ in one cell, under each of the weights."""
    rivals = [mean(scores[cell, rival, half], weights) for rival in rivals_of(cell[1])]
    return mean(scores[cell, name, half], weights) - np.max(rivals, axis=0)


def choose(scores: Scores) -> str:
    """The variant that the rule takes; prints what it goes by."""
    weights, names = draws(scores, "choose"), variants(scores)
    leads = {name: np.stack([lead(scores, cell, name, "choose", weights) for cell in cells(scores)]) for name in names}
    score = {name: np.nanmean(np.minimum(values, CAP), axis=0) for name, values in leads.items()}
    error = {name: float(np.std((score[name] - score["ours"])[1:])) for name in names}
    print(f"choosing half, {len(cells(scores))} cells\n\n| | score | above default | cells below ITQ | worst lead |")
    print("|---|---|---|---|---|")
    for name in sorted(names, key=lambda one: -score[one][0]):
        above = "" if name == "ours" else f"{score[name][0] - score['ours'][0]:+.4f} ± {error[name]:.4f}"
        now = leads[name][:, 0]
        print(f"| {name} | {score[name][0]:+.4f} | {above} | {(now < 0).sum()} | {now.min():+.3f} |")
    best = max(names, key=lambda one: score[one][0])
    return best if score[best][0] - score["ours"][0] > error[best] else "ours"


def report(scores: Scores, name: str) -> None:
    """The chosen variant on the reporting half, beside the better ITQ."""
    weights = draws(scores, "report")[:1]
    print(f"\nreporting half, {name}\n\n| | bits | mAP | lead over ITQ |\n|---|---|---|---|")
    for cell in cells(scores):
        value, above = mean(scores[cell, name, "report"], weights)[0], lead(scores, cell, name, "report", weights)[0]
        print(f"| {cell[0]}, {cell[1]} | {cell[2]} | {value:.3f} | {above:+.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", nargs="+", type=Path, help="files that bench_learner.py --save wrote")
    scores = read(parser.parse_args().scores)
    report(scores, choose(scores))


if __name__ == "__main__":
    main()
