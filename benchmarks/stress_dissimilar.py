"""Dissimilar pairs when matching misses much: verified matches are dropped. How many pairs are wrong?

    python benchmarks/stress_dissimilar.py PHOTOS WORKSPACE --drop 0.3 --seeds 0 1 2 3 4 --same-spot A B --same-spot C D

WORKSPACE holds the finished pairs of PHOTOS, or of a copy under other names; give a copy of it, because it is written
to. PHOTOS has one folder for each place; a photo in a folder named `distractors` is a place of its own. Pairs across
the folders of one `--same-spot` are neither right nor wrong.

`--how` says which matches are dropped: `random` ones, the `weakest` (fewest inliers), or all those of a share of the
photos, drawn at random (`photos`). A dropped match counts as matched in vain: 15 matches at most, no inliers. That
makes it a candidate for a hard negative, which is stricter than if it had never been matched. Components, doubtful
parts, relations and all rules are applied anew. Models are not made again: a photo keeps its model where at least
`min_model_size` photos of its component stand in models, else it is in none.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from hashpipe.common.files import locked, sha256_file
from hashpipe.common.progress import show_progress
from hashpipe.pairgen.mapping.overlap import Evidence
from hashpipe.pairgen.mapping.places import Models, place_models
from hashpipe.pairgen.mapping.reconstruct import connected, reconstruct
from hashpipe.pairgen.matching.extract import photo_vlads
from hashpipe.pairgen.matching.matching_rounds import Matches, match_photos
from hashpipe.pairgen.options import BuildOptions
from hashpipe.pairgen.pairs import labels as labelling
from hashpipe.pairgen.pairs.evidence import measure_models
from hashpipe.pairgen.pairs.pairset import read_pairset
from hashpipe.pairgen.photos.hashes import photo_hashes
from hashpipe.pairgen.photos.listing import describe_photos, distinct_photos
from hashpipe.pairgen.photos.metadata import Photo

_IN_VAIN = 15  # matches of a pair whose match was dropped


@dataclass(frozen=True)
class Collection:
    """What a finished build knows of its photos before the rules for pairs are applied."""

    photos: Sequence[Photo]
    matches: Matches
    models: Models
    evidence: Sequence[Evidence]
    vlads: np.ndarray
    hashes: np.ndarray


def collection(workspace: Path, options: BuildOptions) -> Collection:
    """Read a workspace as a build would that repeats nothing; what is missing is made."""
    folder = workspace / "pairs"
    table = read_pairset(folder).photos
    root = Path(table["root"][0].as_py())
    names = [row["path"] for row in table.select(["path", "status"]).to_pylist() if row["status"] == "ok"]
    with locked(folder):
        photos = distinct_photos(root, describe_photos(root, names), at_least=2)
        vlads = photo_vlads(folder, [photo.sha256 for photo in photos], options)
        matches = match_photos(folder, photos, vlads, options)
        _, components = connected(len(photos), matches.a, matches.b, matches.inliers, options.min_inliers)
        models = place_models(photos, components, reconstruct(root, photos, folder, components, options))
        evidence = measure_models(models.folders, {photo.path: row for row, photo in enumerate(photos)}, 0)
        return Collection(photos, matches, models, evidence, vlads, photo_hashes(root, photos, folder))


def dropped_matches(matches: Matches, photos: int, share: float, seed: int, how: str) -> np.ndarray:
    """Which matches are dropped, bool (m,), were they verified or not. The weakest are the same for every seed."""
    random = np.random.default_rng(seed)
    if how == "photos":
        lost = random.random(photos) < share
        return np.asarray(lost[matches.a] | lost[matches.b])
    if how == "weakest":
        return np.asarray(
            matches.inliers <= np.quantile(matches.inliers[matches.inliers >= BuildOptions.min_inliers], share)
        )
    return np.asarray(random.random(len(matches.a)) < share)


def thinned(
    whole: Collection, share: float, seed: int, options: BuildOptions, how: str = "random"
) -> tuple[Collection, np.ndarray]:
    """The collection without a share of its verified matches, and the components that are left, int32 (n,)."""
    matches = whole.matches
    verified = matches.inliers >= options.min_inliers
    dropped = verified & dropped_matches(matches, len(whole.photos), share, seed, how)
    matches = replace(
        matches,
        matches=np.where(dropped, np.minimum(matches.matches, _IN_VAIN), matches.matches),
        inliers=np.where(dropped, 0, matches.inliers),
    )
    labels, _ = connected(len(whole.photos), matches.a, matches.b, matches.inliers, options.min_inliers)
    in_models = np.bincount(labels[whole.models.model >= 0], minlength=len(labels))
    model = np.where(in_models[labels] >= options.min_model_size, whole.models.model, -1).astype(np.int32)
    place = np.where(np.isin(labels, labels[model >= 0]), labels, -1).astype(np.int32)
    return replace(whole, matches=matches, models=replace(whole.models, place=place, model=model)), labels


def dissimilar(whole: Collection, labels: np.ndarray, options: BuildOptions, rule: bool = True) -> list[dict]:
    """Dissimilar pairs by all rules; without `rule` nothing is uncertain, as before that rule."""
    certain = np.full(len(whole.photos), -1, np.int64)
    with patch.object(labelling, "uncertain_units", labelling.uncertain_units if rule else lambda *given: certain):
        return labelling.label_pairs(
            whole.photos, labels, whole.models, whole.evidence, whole.matches, whole.vlads, whole.hashes, options
        ).dissimilar


def count(pairs: Sequence[dict], folder: Sequence[str], spot: dict[str, str]) -> dict[str, int]:
    """Dissimilar pairs, those inside a folder (wrong) and those across folders of one spot (neither)."""
    found: Counter[str] = Counter()
    for row in pairs:
        a, b = folder[row["a"]], folder[row["b"]]
        found[row["kind"]] += 1
        found["wrong"] += a == b
        found["neither"] += a != b and spot.get(a, a) == spot.get(b, b)
    return {
        "dissimilar": len(pairs),
        **{name: found[name] for name in ("hard_negative", "negative", "wrong", "neither")},
    }


def true_folders(photos: Path) -> dict[str, str]:
    """Folder of each photo by SHA-256; that of a lone photo is its own name."""
    files = [path for path in sorted(photos.rglob("*")) if path.is_file()]
    return {sha256_file(path): path.name if path.parent.name == "distractors" else path.parent.name for path in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--drop", type=float, default=0.3, help="share of the verified matches")
    parser.add_argument("--how", choices=("random", "weakest", "photos"), default="random")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--same-spot", nargs="*", action="append", default=[])
    parser.add_argument("--list", action="store_true", help="list the wrong pairs")
    given = parser.parse_args()
    show_progress("auto")
    options = BuildOptions()
    whole = collection(given.workspace, options)
    truth = true_folders(given.photos)
    folder = [truth[photo.sha256] for photo in whole.photos]
    spot = {name: "+".join(group) for group in given.same_spot for name in group}
    runs: list[tuple[float, int]] = [(0.0, 0), *((given.drop, seed) for seed in given.seeds)]
    total: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for share, seed in runs:
        part, labels = thinned(whole, share, seed, options, given.how)
        for rule in (False, True):
            pairs = dissimilar(part, labels, options, rule)
            counts = count(pairs, folder, spot)
            report: dict[str, object] = {"drop": share, "how": given.how, "seed": seed, "rule": rule, **counts}
            if given.list:
                wrong = [row for row in pairs if folder[row["a"]] == folder[row["b"]]]
                report["pairs"] = [
                    (
                        folder[row["a"]],
                        row["kind"],
                        round(row["similarity"], 3),
                        *(int((labels == labels[row[end]]).sum()) for end in "ab"),
                        *(int(part.models.model[row[end]]) for end in "ab"),
                    )
                    for row in wrong
                ]
            print(json.dumps(report), flush=True)
            if share:
                total[rule].update(counts)
    for rule, counts in total.items():
        rate = 5000 * counts["wrong"] / max(1, counts["dissimilar"])
        summary = {
            "drop": given.drop,
            "how": given.how,
            "seeds": given.seeds,
            "rule": rule,
            **counts,
            "wrong_in_5000": round(rate, 3),
        }
        print(json.dumps(summary), flush=True)


if __name__ == "__main__":
    main()
