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
LOOPS = (f"tests/{OBJECTIVES}/test_objectives.py", "-k")  # each loss against loops, by its name

# (what they change, pytest arguments) -> (what is wrong, old text, new text)
TABLE: dict[tuple[str, tuple[str, ...]], tuple[tuple[str, str, str], ...]] = {
    ("hashing/models/map_formulas.py", ("tests/hashing/models/test_heads.py",)): (
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
    (f"{OBJECTIVES}/ninh.py", (f"tests/{OBJECTIVES}/test_ninh.py", "-k", "loops or gate")): (
        ("ninh: no gate", "gate(torch.sigmoid(batch.u), self.options.epsilon)", "torch.sigmoid(batch.u)"),
    ),
    (f"{OBJECTIVES}/dh.py", (f"tests/{OBJECTIVES}/test_dh.py", "-k", "loops or known or judged")): (
        ("dh: weight of the variance ignored", "-options.variance * 0.5 * h", "-0.02 * 0.5 * h"),
        ("sdh: similar pairs apart", "batch.dissimilar) - masked_mean", "batch.dissimilar) + masked_mean"),
    ),
    (f"{OBJECTIVES}/ddh.py", (f"tests/{OBJECTIVES}/test_ddh.py", "-k", "loops or decay")): (
        ("ddh: all but no quantisation", "self.options.quantise * (t.abs()", "1e-3 * self.options.quantise * (t.abs()"),
    ),
    (f"{OBJECTIVES}/drlih.py", (f"tests/{OBJECTIVES}/test_drlih.py", "-k", "published or expected")): (
        ("drlih: the policy makes what costs likelier", "return -mean_or_zero(better", "return mean_or_zero(better"),
        ("drlih: the reward has a gradient", "ranking.detach() * mean_or_zero", "ranking * mean_or_zero"),
    ),
    (f"{OBJECTIVES}/asymmetric.py", (f"tests/{OBJECTIVES}/test_exchnet.py", "-k", "loops or minimise")): (
        ("adsh: codes forget the other bits", "- one * v[:, bit]", "- h @ v.T"),
    ),
    (f"{OBJECTIVES}/exchnet.py", (f"tests/{OBJECTIVES}/test_exchnet.py", "-k", "exchanged or hellinger")): (
        ("exchnet: parts are never exchanged", "means, own)\n", "own, own)\n"),
    ),
    (f"{OBJECTIVES}/dmvh.py", (f"tests/{OBJECTIVES}/test_dmvh.py", "-k", "loops or dropped")): (
        ("dmvh: views are never dropped", "head.units(views * kept[:, :, None])", "head.units(views)"),
    ),
    ("hashing/training/heads/divided.py", ("tests/hashing/training/heads/test_trained_heads.py", "-k", "batch_norm")): (
        ("batch norm: what runs along stays", "lerp_(mean, MOMENTUM)", "lerp_(mean, 0.0)"),
    ),
    ("hashing/models/map_formulas.py", ("tests/hashing/models/test_heads.py", "-k", "loops")): (
        ("vlad: anchors are not taken off", "- share.sum(1)[:, :, None] * anchors", "- 0 * anchors.sum()"),
        ("pyramid: quarters in another order", "weight[:, :, FIRST + n]", "weight[:, :, FIRST + 3 - n]"),
    ),
    ("hashing/search/partial.py", ("tests/hashing/search/test_partial.py", "-k", "loops or quarters")): (
        ("partial: quarters stay where they are", "apart.min(axis=2)", "apart.diagonal(axis1=1, axis2=2)"),
    ),
    ("hashing/features/cslbp.py", ("tests/hashing/features/test_cslbp.py", "-k", "loops")): (
        ("cslbp: the direction of most change", "np.abs(found).argmin(axis=0)", "np.abs(found).argmax(axis=0)"),
    ),
    (f"{OBJECTIVES}/terms.py", (f"tests/{OBJECTIVES}/test_greedyhash.py",)): (
        ("greedyhash: no gradient through the sign", "(signs(u) - u).detach()", "(signs(u) - u)"),
    ),
    (f"{OBJECTIVES}/dtsh.py", (*LOOPS, "loops and dtsh")): (
        (
            "dtsh: all but no margin",
            "softplus(self.options.margin * bits - lead)",
            "softplus(0.1 * self.options.margin * bits - lead)",
        ),
        (
            "dtsh: quantisation of no length",
            "self.options.quantise * bits * sign_gap",
            "self.options.quantise * sign_gap",
        ),
    ),
    (f"{OBJECTIVES}/cnnh.py", (*LOOPS, "loops and cnnh")): (
        ("cnnh: photos without pairs count", "masked_mean(gap, self.counted[batch.rows])", "gap.mean()"),
    ),
    (f"{OBJECTIVES}/drsdh.py", (*LOOPS, "loops and drsdh")): (
        ("drsdh: graph doubled", "(2 * max(len(chosen), 1))", "max(len(chosen), 1)"),
        ("drsdh: steepness does not grow", "1.1**grown", "1.0**grown"),
    ),
    (f"{OBJECTIVES}/dsrh.py", (*LOOPS, "loops and dsrh")): (
        ("dsrh: every violation weighs the same", "mean_or_zero(share *", "mean_or_zero(0 * share +"),
        ("dsrh: balance halved", "self.options.balance / 2", "self.options.balance / 4"),
    ),
    (f"{OBJECTIVES}/lin2015.py", (*LOOPS, "loops and lin2015")): (
        ("lin2015: no sigmoid", "torch.sigmoid(batch.u)", "batch.u"),
    ),
    (f"{OBJECTIVES}/ssdh.py", (*LOOPS, "loops and ssdh")): (
        ("ssdh: activations drawn to one half", '"quantise": -quantise', '"quantise": quantise'),
        ("ssdh: bits of the batch balanced", "p.mean(1) - 0.5", "p.mean() - 0.5"),
    ),
    (f"{OBJECTIVES}/rdh.py", (*LOOPS, "loops and rdh")): (
        ("rdh: quantisation forgotten", "self.options.quantise * dead", "0 * self.options.quantise * dead"),
    ),
    (f"{OBJECTIVES}/cohesion.py", (*LOOPS, "loops and cohesion")): (
        ("cohesion: similar pairs weigh no more", "more * alike + apart", "alike + apart"),
        ("cohesion: no steepening", "** 0.5", "** 0.0"),
    ),
    (f"{OBJECTIVES}/exponentiated.py", (*LOOPS, "loops and exponentiated")): (
        ("exponentiated: signs of pairs swapped", "-agreement, agreement", "agreement, -agreement"),
    ),
    (f"{OBJECTIVES}/csdh.py", (*LOOPS, "loops and csdh")): (
        ("csdh: distance of similar pairs forgotten", "self.options.hamming * apart", "0 * apart"),
        ("csdh: grades ignored", "(1 + grade) / 2 * batch.similar", "1.0 * batch.similar"),
    ),
    (f"{OBJECTIVES}/ssdh_semi.py", (*LOOPS, "loops and ssdh-semi")): (
        ("ssdh-semi: near photos forgotten", '"near": weight * near', '"near": 0 * near'),
        ("ssdh-semi: triplets whole", "triplets(batch), 1.0) / 2", "triplets(batch), 1.0)"),
    ),
    (f"{OBJECTIVES}/itdh.py", (*LOOPS, "loops and itdh")): (
        ("itdh: outputs not centred", "batch.u[kept] - batch.u[kept].mean(0)", "batch.u[kept]"),
    ),
    (f"{OBJECTIVES}/dsh.py", (*LOOPS, "loops and dsh")): (
        ("dsh: margin halved", "self.options.margin * bits - distance", "self.options.margin * bits / 2 - distance"),
        ("dsh: quantisation halved", "2 * self.options.quantise", "self.options.quantise"),
    ),
    (f"{OBJECTIVES}/cibhash.py", (*LOOPS, "loops and cibhash")): (
        ("cibhash: bottleneck forgotten", "self.options.bottleneck * mean", "0 * mean"),
        ("cibhash: dissimilar pairs are views", "batch.pairs[batch.label >= 0]", "batch.pairs"),
    ),
    (f"{OBJECTIVES}/bihalf.py", (*LOOPS, "loops and bihalf")): (("bihalf: thirds", "len(u) // 2", "len(u) // 3"),),
    (f"{OBJECTIVES}/bihalf.py", (f"tests/{OBJECTIVES}/test_unlabelled_views.py",)): (
        ("bihalf: outputs not drawn to their codes", "gradient + ctx.proxy *", "gradient + 0 *"),
    ),
    (f"{OBJECTIVES}/dead_bits.py", (f"tests/{OBJECTIVES}/test_dead_bits.py", "-k", "amplifier or safe or rescued")): (
        ("dead bits: right ones amplified", "(gradient * u > 0)", "(gradient * u < 0)"),
        ("dead bits: far pairs are no safer", "(b @ b.T <= 0)", "(b @ b.T < -99)"),
    ),
    (f"{OBJECTIVES}/pair_codes.py", (f"tests/{OBJECTIVES}/test_pair_codes.py",)): (
        (
            "cnnh: places apart forgotten",
            "self._descend(int(row), quadratic, -linear)",
            "self._descend(int(row), 0 * quadratic, -0 * linear)",
        ),
        (
            "cnnh: codes not clipped",
            "slope[bit] / quadratic[bit, bit], -1, 1)",
            "slope[bit] / quadratic[bit, bit], -9, 9)",
        ),
    ),
    (f"{OBJECTIVES}/triplets.py", (f"tests/{OBJECTIVES}/test_triplets.py",)): (
        ("triplets: the first of too many", "found[mixed.argsort(stable=True)[:most]]", "found[:most]"),
        ("triplets: the same at every step", "int(batch.progress * 2**40)", "0"),
    ),
    ("hashing/search/rerank.py", ("tests/hashing/search/test_rerank.py", "-k", "loops")): (
        ("rerank: weights not squared", "np.square(np.asarray(weight, np.float64))", "np.asarray(weight, np.float64)"),
    ),
    ("hashing/models/heads.py", (f"tests/{OBJECTIVES}/test_drsdh.py", "-k", "move")): (
        ("bit weights: the least first", "np.argsort(-weights,", "np.argsort(weights,"),
    ),
    (f"{TRAINING}/update.py", (f"tests/{TRAINING}/test_finite.py",)): (
        ("update: a broken gradient is taken", "finite.check_gradients(", "(lambda *a: None)("),
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
    ("pairgen/matching/stationary.py", ("tests/pairgen/matching/test_stationary.py",)): (
        ("marks: borders count as view", "if shift.fixed:", "if False:"),
        ("marks: any match holds a cell", "(count(agreeing) >= CELL_SHARE * features)", "(count(agreeing) >= 0)"),
        ("marks: cells that disagree do not count", "max(FEWEST_CELLS, (counts & ~held).sum())", "FEWEST_CELLS"),
        ("marks: frames of two sizes as a whole only", "if size_a == size_b:", "if True:"),
        ("marks: slow scenes stand out", "close.sum() >= STANDS_OUT * (apart <= NEAR).sum()", "True"),
        ("marks: exact shifts are evidence", "(shift.apart(u, v) <= EXACT).mean() >= STANDS_OUT", "False"),
        ("marks: COLMAP's word for any shift", "(by <= SLIGHTLY * max(second.size)).all()", "True"),
        ("marks: lines anywhere", "(distance <= BORDER * sides).all(axis=1)", "(distance >= 0).all(axis=1)"),
        ("marks: lines at any distance", "same[:, 0] & ", ""),
        ("marks: a first line needs few", "/ (2 if again else 1)", "/ 2"),
    ),
    ("pairgen/photos/plausible.py", ("tests/pairgen/photos/test_plausible.py", "-k", "not build")): (
        ("metadata: no upper limit", "return self.low <= value <= self.high", "return self.low <= value"),
        ("metadata: 0, 0 is a position", "if degrees == [0.0, 0.0]:", "if False:"),
        ("metadata: no hemisphere is one", "if None in signs:", "if False:"),
        ("metadata: a good second date has a reason", "return found.isoformat()", "break"),
        ("metadata: clocks that start are dates", "return UNSET if midnight", "return UNSET if not midnight"),
        ("metadata: minutes of any size", "return SIXTIETHS.reason", "pass"),
    ),
    (
        "pairgen/photos",
        ("tests/pairgen/photos", "-k", "thumbnail or live or png or decoding or dead or grey or preview_is_developed"),
    ): (
        ("photos: a RAW file's thumbnail is the photo", "if max(size) >= LEAST_PREVIEW:", "if max(size) >= 1:"),
        ("photos: videos of Live Photos count", "if name not in live]", "if name]"),
        ("photos: damaged chunks stay", "if kind in _NEEDED or", "if kind or"),
        ("photos: frames that lack what they build on", "if at == number and whole:", "if at == number:"),
        ("photos: white and black exchanged", "grey = 255 - grey", "grey = grey + 0"),
        ("photos: a dead pixel darkens the photo", "inner[0] + (high - low) / 4", "inner[0] - (high - low) / 4"),
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
    (TRAINING, ("tests/hashing/training/test_losses.py",)): (
        ("DSH's margin in the unit of its paper", "margin_scale = 4.0", "margin_scale = 2.0"),
        ("labels of 0 are taken", "(labels != 1) & (labels != -1)", "(labels != 1) & (labels != -1) & (labels != 0)"),
        ("photos of a chain of pairs are contrasted", "_connected(similar | same) & ~", "(similar | same) & ~"),
        ("known pairs are no neighbours for DSAH", "similar_are_neighbours = True", "similar_are_neighbours = False"),
    ),
    ("hashpipe/common/option_values.py", ("tests/common/test_option_values.py",)): (
        ("bounds of options are not checked", "not value >= low", "value >= low and False"),
        ("True is a number", "    if isinstance(value, bool):\n        raise TypeError\n    if", "    if"),
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
