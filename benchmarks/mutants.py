"""Do the tests notice when the code is wrong? Each mutant is one small error; the tests named beside it must fail.

    python benchmarks/mutants.py            all mutants, about five minutes
    python benchmarks/mutants.py joint ap   those whose description holds one of the words

The repository is copied into a temporary folder and changed there. The exit code is 1 where a mutant lives, where its
text is not found exactly once, or where the tests fail without any mutant.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
COPIED = ("hashpipe", "pairgen", "hashing", "cli", "data_manifests", "tests", "docs", "benchmarks")
INSIDE = ("pairgen", "hashing", "cli", "data_manifests")  # what lies in the package and beside it in the repository


@dataclass(frozen=True)
class Mutant:
    """One error. where: a file, or a folder in whose modules the text `old` stands once; tests: pytest arguments."""

    what: str
    where: str
    old: str
    new: str
    tests: tuple[str, ...]


TRAINING, OBJECTIVES = "hashing/training", "hashing/training/objectives"

# (what they change, pytest arguments) -> (what is wrong, old text, new text)
TABLE: dict[tuple[str, tuple[str, ...]], tuple[tuple[str, str, str], ...]] = {
    ("hashing/models/heads.py", ("tests/hashing/models/test_heads.py",)): (
        ("attention: all positions alike", 'a["attend"][None] @ positions', '0 * a["attend"][None] @ positions'),
        (
            "attention: the mean is no unit vector",
            "linear(a, mean / ops.sqrt((mean * mean)",
            "linear(a, mean / ops.sqrt((0 * mean + 1)",
        ),
    ),
    (
        "hashing/training/loop.py",
        ("tests/hashing/training/test_map_heads.py", "-k", "starts or finds or never or bytes"),
    ): (
        ("maps of other photos in the batch", "state.maps[rows.numpy()]", "state.maps[rows.numpy()[::-1].copy()]"),
        (
            "maps: centred on their means",
            "torch.from_numpy(x) if maps is None else maps[0]",
            "maps_of(0 * maps[0][:]) if maps else torch.from_numpy(x)",
        ),
    ),
    ("hashing/features/feature_maps.py", ("tests/hashing/features/test_feature_maps.py",)): (
        ("feature maps computed again", "if images.keys[row] not in known}", "}"),
        (
            "feature maps in the order of the cache",
            "known.get(key) for key in images.keys",
            "known.get(key) for key in sorted(images.keys)",
        ),
    ),
    (f"{OBJECTIVES}/joint.py", (f"tests/{OBJECTIVES}/test_joint.py",)): (
        ("joint: constraint all but off", "= amount.constraint *", "= 1e-3 *"),
        ("joint: neighbours ignored", "batch.label == 0]", "batch.label > 9]"),
        (
            "joint: constraint on the wrong rows",
            "batch.dissimilar[own][:, own]",
            "batch.dissimilar[own][:, own.flip(0)]",
        ),
        ("joint: information weights off", "if self.options.information:", "if False:"),
    ),
    (f"{OBJECTIVES}/contrastive.py", (f"tests/{OBJECTIVES}/test_joint.py",)): (
        ("contrast: temperature ignored", "return (cosine / temperature)", "return (cosine / 0.2)"),
    ),
    (f"{OBJECTIVES}/bcdh.py", (f"tests/{OBJECTIVES}/test_bcdh.py",)): (
        ("bcdh: margin ignored", "self.options.margin * bits", "0.25 * bits"),
    ),
    (f"{OBJECTIVES}/binary_step.py", (f"tests/{OBJECTIVES}/test_binary_step.py",)): (
        ("bcdh: the B-step takes flips that cost", "take = present - flipped", "take = flipped - present"),
    ),
    (f"{OBJECTIVES}/dsah.py", (f"tests/{OBJECTIVES}/test_dsah.py",)): (
        ("dsah: known pairs instead of neighbours", "torch.where(batch.neighbours,", "torch.where(batch.similar,"),
    ),
    (f"{OBJECTIVES}/dpsh.py", (f"tests/{OBJECTIVES}/test_dpsh.py",)): (
        ("dpsh: compared with photos never seen", "(similar | dissimilar) & self.seen", "similar | dissimilar"),
    ),
    (f"{OBJECTIVES}/terms.py", (f"tests/{OBJECTIVES}/test_greedyhash.py",)): (
        ("greedyhash: no gradient through the sign", "(signs(u) - u).detach()", "(signs(u) - u)"),
    ),
    (f"{TRAINING}/sampler.py", (f"tests/{TRAINING}/test_sampler.py",)): (
        ("sampler: large places drawn more often", "weight / np.bincount(number, weight)[number]", "weight"),
        ("sampler: photos of one place repelled", "~(same | itself |", "~(itself |"),
        ("sampler: guesses against 3D", "edges[~(placed | ", "edges[~("),
        ("sampler: two places not dissimilar", "placed[None] & ~same)", "placed[None] & same)"),
        ("sampler: hard negatives of one place", "self.hard = pairs[apart |", "self.hard = pairs[~apart |"),
    ),
    (f"{TRAINING}/recipes.py", (f"tests/{TRAINING}/test_recipes.py",)): (
        ("recipe: options do not win", "getattr(options, name) for name in", "None for name in"),
    ),
    (f"{TRAINING}/heads/base.py", (f"tests/{TRAINING}/heads",)): (
        ("head: not interpolated with its start", "lerp_(start[name], weight)", "lerp_(start[name], 0.0)"),
        ("head: centred on a photo", "ordered[middle - 1] +", "ordered[middle] +"),
    ),
    (f"{TRAINING}/loop.py", (f"tests/{TRAINING}/test_loop.py", "-k", "centring or carries")): (
        ("loop: centred on other rows", "centre(state.seen(sample))", "centre(state.seen(torch.arange(len(sample))))"),
        ("loop: descriptors of other photos", "functional.normalize(x, dim=1", "functional.normalize(x.flip(0), dim=1"),
    ),
    ("cli/train_settings.py", ("tests/cli/test_train_settings.py", "-k", "0_1")): (
        ("--no-pairwise: known pairs leave the batch", '{"pairwise": 0.0, "constraint": 0.0}', '{"pairs": False}'),
    ),
    ("hashing/data/pair_labels.py", ("tests/hashing/data/test_pair_labels.py",)): (
        ("labels: other splits are learnt from", "list(splits)) & (place >= 0)", "list(splits)) | (place >= 0)"),
    ),
    ("pairgen/pairs", ("tests/pairgen/pairs", "-k", "similar_rules or chance_geometry or never_join")): (
        ("rules: little overlap is similar", "if overlap >= options.min_overlap and", "if"),
        ("rules: chance relates places", "(matches.inliers >= 13) &", "(matches.inliers >= 0) &"),
        ("rules: related places are dissimilar", "and ends not in blocked and", "and"),
    ),
    ("hashing/codes/packing.py", ("tests/hashing/codes/test_packing.py",)): (
        ("codes: thresholds off the median", "middle = len(u) // 2", "middle = len(u) // 3"),
        ("codes: an output of 0 is no 1", "np.asarray(u) >= (", "np.asarray(u) > ("),
    ),
    ("hashing/metrics", ("tests/hashing/metrics/test_metrics.py",)): (
        (
            "ap: as if drawn with replacement",
            "divide(groups.hits - 1, groups.size - 1,",
            "divide(groups.hits, groups.size,",
        ),
        ("ap: one hit less at every rank", "(hits_before + 1 - (before + 1) * c)", "(hits_before - (before + 1) * c)"),
        ("oxford ap: rank 0 as the others", "np.where(start == 0, 1 + (n - 1) * c, n * c)", "n * c"),
    ),
}

MUTANTS = tuple(
    Mutant(what, where, old, new, tests) for (where, tests), errors in TABLE.items() for what, old, new in errors
)


def place(root: Path, mutant: Mutant) -> Path:
    """The file that holds the mutant's text. Raises LookupError unless it stands exactly once in what is named."""
    named = root / mutant.where
    files = sorted(named.rglob("*.py")) if named.is_dir() else [named]
    found = [path for path in files if path.is_file() for _ in range(path.read_text("utf-8").count(mutant.old))]
    if len(found) != 1:
        raise LookupError(f"{mutant.what}: {mutant.old!r} stands {len(found)} times in {mutant.where}")
    return found[0]


def copy_of_repository(folder: Path) -> dict[str, str]:
    """Copy the repository into the folder. Returns the environment in which `hashpipe` is that copy."""
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    for name in COPIED:
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "Makefile", "README.md"):
        shutil.copy(REPOSITORY / name, folder / name)
    package = folder / "path" / "hashpipe"
    package.mkdir(parents=True)
    for one in (folder / "hashpipe").iterdir():
        (package / one.name).symlink_to(one)
    for name in INSIDE:
        (package / name).symlink_to(folder / name)
    kept = {"PYTHONPATH": str(package.parent), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**os.environ, **kept}


def failing(folder: Path, environment: dict[str, str], tests: Sequence[str]) -> bool:
    """Whether the tests fail. Raises RuntimeError where they cannot be run, or none is found."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(
            f"{' '.join(tests)}: pytest ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr}"
        )
    return done.returncode == 1


def main(words: Sequence[str]) -> int:
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.what for word in words)]
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        environment = copy_of_repository(folder)
        where = [sys.executable, "-c", "import hashpipe.hashing as h; print(h.__file__)"]
        found = subprocess.run(where, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
        if not Path(found.strip()).resolve().is_relative_to(folder):
            sys.exit(f"hashpipe is imported from {found.strip()} and not from the copy")
        sound: dict[tuple[str, ...], bool] = {}
        for mutant in chosen:
            started = time.monotonic()
            try:
                path = place(folder, mutant)
            except LookupError as error:
                print(f"lost    {error}", flush=True)
                wrong += 1
                continue
            if mutant.tests not in sound:
                sound[mutant.tests] = not failing(folder, environment, mutant.tests)
            whole = path.read_text("utf-8")
            path.write_text(whole.replace(mutant.old, mutant.new), "utf-8")
            killed = failing(folder, environment, mutant.tests)
            path.write_text(whole, "utf-8")
            said = "killed" if killed and sound[mutant.tests] else "lived" if not killed else "unsound"
            wrong += said != "killed"
            print(f"{said:7} {mutant.what}  ({time.monotonic() - started:.0f} s)", flush=True)
    print(f"{len(chosen) - wrong} of {len(chosen)} mutants were killed")
    return 1 if wrong or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
