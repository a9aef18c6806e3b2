"""The learner on all places of a workspace, by k-fold: known, adapted and unseen, beside ITQ, PCA, LSH and float.

    python benchmarks/bench_learner.py WORKSPACE benchmarks/development_places.parquet --backbone mobilenet_v2 \\
        --weights FILE --bits 16 32 64 128 --seeds 0 1 2
    python benchmarks/bench_learner.py WORKSPACE benchmarks/development_places.parquet --backbone vlad --ablations

The workspace holds the pairs that are learnt from; who is relevant comes from the frozen file alone, and so do places
and folds. With seed s every fifth photo of a place is a query that nothing has learnt from.

known    all places have 3D labels; the database is every other photo
adapted  the labels of a third of the places are hidden, their queries search every other photo; three folds
unseen   two thirds of the places are learnt from; photos of the others search each other and all photos of no place;
         bits are re-centred on that database; three folds, each place's photos all take their turn as queries. Ours
         by the rule of `encode --recentre`, ITQ at the medians (itq/recentred) and by that rule (itq/as ours)

beside   as unseen, but photos of no place are learnt from too, without labels, as a whole collection would be

Values are macro-averages over places, mean and standard deviation over seeds. Half of the places (by hash) is for
choosing, the other half for reporting: --half. --set changes options, as --set steps=200 joint.preserve=5; --variant
"hidden=0" judges ours with that changed beside it, as often as wanted. --save keeps the mAP of all places for
choose_learner.py, which chooses between variants.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from hashpipe.hashing.baselines import baselines
from hashpipe.hashing.benchmarks.benchmarks import load_benchmark
from hashpipe.hashing.benchmarks.protocols import Protocol, make_protocol, read_relevance
from hashpipe.hashing.data import images as image_lists
from hashpipe.hashing.data.pair_labels import Targets, targets_from_pairset
from hashpipe.hashing.evaluation.methods import baseline_codes, coded, recentred
from hashpipe.hashing.evaluation.scoring import Coded, measure, ranked
from hashpipe.hashing.features.descriptors import make_describer
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.metrics.relevance import lists
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.train import centre
from hashpipe.pairgen.pairs.pairset import PairSet, read_pairset

TURNS = 5
PROTOCOLS = ("known", "adapted", "unseen", "beside")
ELSEWHERE = ("unseen", "beside")  # bits are re-centred on a database of places never seen
BASELINES = ("lsh", "pca", "itq")
ABLATIONS = {
    "without information weights": "information=0",
    "without neighbour discovery": "neighbours=0",
    "without pairwise constraint": "pairwise=0",
    "without B-step": "binary_step=0",
    "without re-centring": "recentre=0",
    "without balance": "balance=0",
    "without preserving": "preserve=0",
    "without 3D pairs": "pairs=0",
    "without local units": "hidden=0",
    "without the way back": "joint.back=0",
    "without the start at photos without labels": "joint.unlabelled_start=0",
}
Values = dict[tuple[str, str, int | None], dict[int, list[np.ndarray]]]  # (form, method, bits) -> seed -> (Q,3)


@dataclass(frozen=True)
class Data:
    """N photos of the PairSet, then filler. place int (N,), -1 none; near, junk bool (N,N); fold and turn int (N,);
    half bool (N,), True for places to choose by; describe(training rows) -> float32 (N + filler, D)."""

    pairset: PairSet
    ok: np.ndarray
    place: np.ndarray
    near: np.ndarray
    junk: np.ndarray
    fold: np.ndarray
    turn: np.ndarray
    half: np.ndarray
    keys: tuple[str, ...]
    describe: Callable[[np.ndarray], np.ndarray]


def read_data(
    workspace: Path, relevance: Path, backbone: BackboneOptions, filler: Path | None, most: int, folds: int = 3
) -> Data:
    """Photos, frozen relevance and folds; descriptors are computed once and kept in the workspace."""
    pairset = read_pairset(workspace / "pairs")
    images, cache = image_lists.from_pairset(pairset), workspace / "descriptors"
    others = None if filler is None else load_benchmark("cifar10", filler).images
    others = None if others is None else others.subset(np.linspace(0, len(others) - 1, most).astype(int))
    row = {key: number for number, key in enumerate(images.keys)}
    table, mark = read_relevance(relevance)
    print(
        f"relevance {mark}, pairs {pairset.fingerprint}, {len(images)} photos, {0 if others is None else most} filler"
    )
    near, junk = np.zeros((2, len(row), len(row)), bool)
    for query, photo, kind in zip(*(table[name].to_pylist() for name in ("query", "photo", "kind")), strict=True):
        if query in row and photo in row:
            (near if kind == "relevant" else junk)[row[query], row[photo]] = True
    together = near | junk
    _, number = connected_components(coo_matrix(together), directed=False)
    place = np.where(together.any(axis=1), number, -1)
    fold, turn, half = np.full(len(row), -1), np.full(len(row), -1), np.zeros(len(row), bool)
    sha = np.array([hashlib.sha256(key.encode()).hexdigest() for key in images.keys])
    members = sorted((np.flatnonzero(place == one) for one in np.unique(place[place >= 0])), key=lambda m: min(sha[m]))
    for order, rows in enumerate(members):
        fold[rows], half[rows] = order // 2 % folds, order % 2 == 0
        turn[rows[np.argsort(sha[rows])]] = np.arange(len(rows)) % TURNS
    known: dict[bytes, np.ndarray] = {}

    def describe(training: np.ndarray) -> np.ndarray:
        key = training.tobytes() if backbone.backbone == "vlad" else b""
        if key not in known:
            describer = make_describer(backbone, images.subset(training), cache)
            parts = [describer.describe(one, cache).values for one in (images, others) if one is not None]
            known[key] = np.concatenate(parts)
        return known[key]

    ok = pairset.photo_column("status") == "ok"
    keys = images.keys + (() if others is None else others.keys)
    return Data(pairset, ok, place, near, junk, fold, turn, half, keys, describe)


def labels(data: Data, labelled: np.ndarray, rows: np.ndarray) -> Targets:
    """What the PairSet says of `rows`, of pairs of photos of `labelled` places (bool (N,)) alone."""
    photos = data.pairset.photos
    split = pa.array(np.where(labelled, "train", "test").tolist(), pa.string())
    photos = photos.set_column(photos.schema.get_field_index("split"), "split", split)
    query = pa.array(np.zeros(len(labelled), bool))
    photos = photos.set_column(photos.schema.get_field_index("query"), "query", query)
    return targets_from_pairset(replace(data.pairset, photos=photos), rows)


@dataclass(frozen=True)
class Case:
    """One fit and the searches it is judged by; `fresh`: bits are re-centred on each search's database."""

    training: np.ndarray
    targets: Targets
    searches: list[Protocol]
    fresh: bool


def cases(data: Data, form: str, seed: int) -> Iterator[Case]:
    """The fits of one protocol."""
    held = data.turn == seed % TURNS
    if form == "known":
        training = np.flatnonzero(data.ok & ~held)
        yield Case(training, labels(data, data.place >= 0, training), searches(data, form, held, training), False)
        return
    for fold in range(data.fold.max() + 1):
        inside = data.fold == fold
        if form == "adapted":
            training = np.flatnonzero(data.ok & ~held)
            asked = searches(data, form, held & inside, training)
        else:
            training = np.flatnonzero(data.ok & ~inside & ((data.place >= 0) | (form == "beside")))
            around = data.ok & (inside | (data.place < 0))
            turns = [inside & (data.turn == turn) for turn in range(TURNS)]
            asked = [one for turn in turns for one in searches(data, form, turn, np.flatnonzero(around & ~turn))]
        labelled = (data.place >= 0) & ~inside
        yield Case(training, labels(data, labelled, training), asked, form in ELSEWHERE)


def searches(data: Data, form: str, asked: np.ndarray, database: np.ndarray) -> list[Protocol]:
    """The search of `database`, and where there is filler also of both together."""
    filler = np.arange(len(data.place), len(data.keys))
    found = [search(data, form, asked, database)]
    if len(filler):
        found.append(search(data, f"{form}, filler", asked, np.concatenate([database, filler])))
    return found


def search(data: Data, form: str, asked: np.ndarray, database: np.ndarray) -> Protocol:
    """Queries `asked` (bool (N,)) that have a relevant photo in the database, against it."""
    own = database[database < len(data.place)]
    queries = np.flatnonzero(asked & data.ok & data.near[:, own].any(axis=1))
    sides = [[np.flatnonzero(side[q, own]) for q in queries] for side in (data.near, data.junk)]
    relevance = lists(sides[0], sides[1], len(database))
    clusters = data.place[queries]
    return make_protocol(form, data.keys, queries, database, database, relevance, ("map",), "min(k,R)", clusters)


def judge(values: Values, seed: int, protocol: Protocol, one: Coded) -> None:
    """Add place, AP and precision of the first hit of every query."""
    groups, counts = ranked(protocol, one, 1)
    found = [measure(metric, groups, counts, "min(k,R)").values for metric in ("map", "p@1")]
    row = np.stack([protocol.queries, *found], axis=1)
    values.setdefault((protocol.name, one.method, one.bits), defaultdict(list))[seed].append(row)


def ours(values: Values, data: Data, form: str, options: TrainOptions, name: str) -> float:
    """Fit and judge one variant on one protocol and one seed; returns seconds of fitting."""
    seconds = 0.0
    for case in cases(data, form, options.seed):
        x = data.describe(case.training)
        start = time.perf_counter()
        heads = fit_heads(x[case.training], case.targets, options)
        seconds += time.perf_counter() - start
        stored, _ = centre(heads, x[case.training], options.recentre)
        for protocol in case.searches:
            for bits, head in heads.items():
                u = head(x)
                t = recentred(u, protocol) if case.fresh and options.recentre else stored[bits]
                judge(values, options.seed, protocol, coded(name, bits, u, protocol, t))
    return seconds


def beside(values: Values, data: Data, form: str, bits: tuple[int, ...], seed: int) -> None:
    """Judge the baselines, fitted on the photos that the variant learns from."""
    for case in cases(data, form, seed):
        x = data.describe(case.training)
        for protocol in case.searches:
            for one in baseline_codes(protocol, x, x[case.training], bits, (*BASELINES, "float"), seed, lambda _: None):
                judge(values, seed, protocol, one)
            for length in bits if case.fresh else ():  # the baseline with thresholds set as ours are
                u = baselines.fit("itq", x[case.training], length, seed)(x)
                t = recentred(u, protocol, np.median(u[case.training], axis=0))
                judge(values, seed, protocol, coded("itq/as ours", length, u, protocol, t))


def macro(data: Data, parts: list[np.ndarray], half: str) -> tuple[float, float, dict[int, float]]:
    """mAP and precision of the first hit, macro-averaged over places, and mAP by place."""
    rows = np.concatenate(parts)
    query = rows[:, 0].astype(int)
    kept = np.ones(len(query), bool) if half == "all" else data.half[query] == (half == "choose")
    rows, place = rows[kept], data.place[query[kept]]
    by_place = {int(one): rows[place == one, 1:].mean(axis=0) for one in np.unique(place)}
    ap, first = np.mean(list(by_place.values()), axis=0)
    return float(ap), float(first), {one: float(value[0]) for one, value in by_place.items()}


def show(data: Data, values: Values, bits: tuple[int, ...], half: str) -> None:
    """One table per protocol in Markdown: mAP (mean ± deviation over seeds), and precision of the first hit below."""
    for form in dict.fromkeys(protocol for protocol, _, _ in values):
        names = list(dict.fromkeys(method for protocol, method, _ in values if protocol == form))
        print(f"\n**{form}** ({half} places)\n")
        for title, column in (("mAP", 0), ("first hit", 1)):
            print(f"| {title} | " + " | ".join(f"{length} bits" for length in bits) + " |")
            print("|---" * (len(bits) + 1) + "|")
            for name in names:
                cells = []
                for length in bits:
                    seeds = values.get((form, name, None if name == "float" else length), {})
                    scores = [macro(data, parts, half)[column] for parts in seeds.values()]
                    cells.append(f"{np.mean(scores):.3f} ± {np.std(scores):.3f}" if scores else "-")
                print(f"| {name} | " + " | ".join(cells) + " |")
            print()
        _gaps(data, values, form, names, bits, half)


def rivals_of(form: str) -> tuple[str, ...]:
    """The baselines that ours is to lie above; of several the better one counts."""
    return ("itq/recentred",) if form.startswith(ELSEWHERE) else ("itq", "itq/recentred")


def _gaps(data: Data, values: Values, form: str, names: list[str], bits: tuple[int, ...], half: str) -> None:
    """How far variants lie above the better ITQ, with the 95 % interval of a bootstrap over places."""
    rivals = rivals_of(form)
    for name in (one for one in names if one.split("/")[0] not in (*BASELINES, "float")):
        texts = []
        for length in bits:
            found = [_by_place(data, values, (form, one, length), half) for one in (name, *rivals)]
            if any(one is None for one in found):
                continue
            mine, *others = found
            gap = mine - max(others, key=np.mean)
            draws = np.random.default_rng(0).integers(len(gap), size=(5000, len(gap)))
            low, high = np.percentile(gap[draws].mean(axis=1), [2.5, 97.5])
            texts.append(f"{length} bits {gap.mean():+.3f} ({low:+.3f} to {high:+.3f})")
        if texts:
            print(f"{name} above {' or '.join(rivals)}: " + "; ".join(texts))


def _by_place(data: Data, values: Values, key: tuple[str, str, int | None], half: str) -> np.ndarray | None:
    if key not in values:
        return None
    found = [macro(data, parts, half)[2] for parts in values[key].values()]
    return np.array([np.mean([one[place] for one in found if place in one]) for place in sorted(set().union(*found))])


def save(path: Path, data: Data, values: Values, name: str) -> None:
    """Keep mAP by place (mean over seeds) of every form, method and length, and which half each place is of."""
    scores = []
    for (form, method, bits), seeds in values.items():
        for half in ("choose", "report"):
            found = [macro(data, parts, half)[2] for parts in seeds.values()]
            mean = {place: np.mean([one[place] for one in found if place in one]) for place in set().union(*found)}
            scores.append({"form": form, "method": method, "bits": bits, "half": half, "map": mean})
    path.write_text(json.dumps({"descriptor": name, "scores": scores}))


def changed(options: TrainOptions, changes: list[str]) -> TrainOptions:
    """Options with `name=value` or `joint.name=value` applied, values in the type they have."""
    for change in changes:
        name, _, text = change.partition("=")
        holder = options.joint if name.startswith("joint.") else options
        name_in = name.removeprefix("joint.")
        if name_in not in {one.name for one in fields(holder)}:
            raise SystemExit(f"--set {change}: there is no option {name}")
        old = getattr(holder, name_in)
        value = text in ("1", "true", "True") if isinstance(old, bool) else type(old)(text)
        part = replace(holder, **{name_in: value})
        options = replace(options, joint=part) if holder is options.joint else part
    return options


def arguments(text: str) -> argparse.ArgumentParser:
    """What benchmarks of the learner ask for: workspace, frozen relevance, descriptor, lengths and seeds."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("relevance", type=Path)
    parser.add_argument("--backbone", default="vlad")
    parser.add_argument("--weights")
    parser.add_argument("--bits", type=int, nargs="*", default=[16, 32, 64, 128])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    return parser


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--protocols", nargs="*", default=PROTOCOLS, choices=PROTOCOLS)
    parser.add_argument("--half", nargs="*", default=["all", "choose", "report"], choices=["all", "choose", "report"])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="change training options")
    parser.add_argument("--variant", action="append", default=[], metavar="'NAME=VALUE ...'", help="judge this beside")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the scores of all places")
    parser.add_argument("--ablations", action="store_true", help="also without each part")
    parser.add_argument("--filler", type=Path, help="a CIFAR-10 archive; also search databases with its photos added")
    parser.add_argument("--folds", type=int, default=3, help="of the places; with 2 half of them are learnt from")
    parser.add_argument("--filler-photos", type=int, default=2000)
    given = parser.parse_args()
    describe = BackboneOptions(backbone=given.backbone, weights=given.weights)
    data = read_data(given.workspace, given.relevance, describe, given.filler, given.filler_photos, given.folds)
    bits = tuple(given.bits)
    variants = {"ours": changed(TrainOptions(bits=bits, describe=describe), given.set)}
    asked = ABLATIONS if given.ablations else {}
    for name, change in (asked | {variant: variant for variant in given.variant}).items():
        variants[name] = changed(variants["ours"], change.split())
    values: Values = {}
    seconds = 0.0
    for form in given.protocols:
        for seed in given.seeds:
            for name, options in variants.items():
                seconds += ours(values, data, form, replace(options, seed=seed), name)
            beside(values, data, form, bits, seed)
    if given.save:
        save(given.save, data, values, given.backbone)
    for half in given.half:
        show(data, values, bits, half)
    print(f"\nfitting took {seconds:.0f} s in all")


if __name__ == "__main__":
    main()
