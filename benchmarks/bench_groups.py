"""Groups on photos with planted copies and bursts: precision and recall by kind, beside pHash; then time and memory.

    python benchmarks/bench_groups.py PHOTOS --workspace WS            # precision and recall
    python benchmarks/bench_groups.py PHOTOS --workspace WS --scale 20000

PHOTOS holds `places/<name>/` and, if there are any, `distractors/`. WS holds a trained model. Places are dealt into two
halves by their names. On the first half the radius is chosen, for the codes (unless WS is calibrated) and for pHash at
the same rate of false matches; everything printed is of the second half.

Planted: exact duplicates; resized, recompressed, cropped, mirrored, rotated and re-lit copies without metadata; bursts
of four shots a second apart, made of one photo by a hand that shakes. A pair counts for the strictest kind that joins
it.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from hashpipe.common.files import open_workspace
from hashpipe.common.hamming import hamming
from hashpipe.common.perceptual_hash import phash
from hashpipe.hashing.benchmarks.copies import CHANGES
from hashpipe.hashing.calibration.calibration import read_calibration
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, write_codes
from hashpipe.hashing.codes.packing import pack
from hashpipe.hashing.data.images import from_paths
from hashpipe.hashing.duplicates import rules as groups_kinds
from hashpipe.hashing.duplicates.grouping import Grouping
from hashpipe.hashing.duplicates.groups import find_groups
from hashpipe.hashing.duplicates.options import GroupsOptions
from hashpipe.hashing.encoding.encode import open_encoder
from hashpipe.hashing.features.phash import frequencies
from hashpipe.pairgen.photos.load import load_upright

# places that are one spot: pairs across them are neither right nor wrong
ONE_SPOT = (
    ("strecha_castle_p30", "strecha_entry_p10", "strecha_fountain_p11"),
    ("opensfm_lund", "olsson_lund_door", "olsson_2"),
)
SHOTS = 4


def _cut(picture: Image.Image, share: float) -> Image.Image:
    """Without `share` of either side, half of it at each edge."""
    width, height = picture.size
    left, top = round(share / 2 * width), round(share / 2 * height)
    return picture.crop((left, top, width - left, height - top))


# name, change, JPEG quality
PLANTED = (
    *((name, work, 15 if name == "recompressed" else 90) for name, work in CHANGES),
    (
        "to 60 %",
        lambda one: one.resize((round(0.6 * one.width), round(0.6 * one.height)), Image.Resampling.LANCZOS),
        90,
    ),
    ("JPEG 40", lambda one: one, 40),
    ("cut by 10 %", lambda one: _cut(one, 0.1), 90),
    ("cut by 20 %", lambda one: _cut(one, 0.2), 90),
    ("mirrored", ImageOps.mirror, 90),
    ("mirrored, cut by 10 %", lambda one: _cut(ImageOps.mirror(one), 0.1), 85),
    ("30 % lighter", lambda one: ImageEnhance.Brightness(one).enhance(1.3), 90),
)


@dataclass(frozen=True)
class Planted:
    """Files, and of each its shot, its burst (-1 none), place (-1 none), spot, and how it was made."""

    paths: list[Path]
    shot: np.ndarray
    burst: np.ndarray
    place: np.ndarray
    spot: np.ndarray
    change: list[str]


def first_half(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 0


def plant(photos: Path, folder: Path, first: bool, copies: int, bursts: int, seed: int = 0) -> Planted:
    """One half of the photos as links, with copies of some of them and bursts in place of others."""
    rng = np.random.default_rng(seed)
    originals: list[tuple[Path, str]] = []
    for place in sorted((photos / "places").iterdir()):
        if first_half(place.name) == first:
            originals += [(path, place.name) for path in sorted(place.iterdir())]
    originals += [(path, "") for path in sorted((photos / "distractors").glob("*")) if first_half(path.name) == first]
    places = {name: number for number, name in enumerate(sorted({name for _, name in originals if name}))}
    spots = {name: f"spot {number}" for number, names in enumerate(ONE_SPOT) for name in names}
    order = rng.permutation(len(originals))
    copied, shaken = set(order[:copies].tolist()), set(order[copies : copies + bursts].tolist())
    rows: list[tuple[Path, int, int, int, str, str]] = []
    folder.mkdir(parents=True)
    shot = 0
    for number, (path, name) in enumerate(originals):
        stem, place, spot = f"{number:05}", places.get(name, -1), spots.get(name, name or f"photo {number}")
        if number in shaken:
            for step, picture in enumerate(_shaken(load_upright(path), rng)):
                target = folder / f"{stem}-{step}.jpg"
                _save(target, picture, f"2024:05:17 10:{number // 60 % 60:02}:{number % 60:02}", step)
                rows.append((target, shot, number, place, spot, "burst"))
                shot += 1
            continue
        target = folder / f"{stem}{path.suffix}"
        target.symlink_to(path.resolve())
        rows.append((target, shot, -1, place, spot, "original"))
        if number in copied:
            exact = folder / f"{stem} copy{path.suffix}"
            exact.write_bytes(path.read_bytes())
            rows.append((exact, shot, -1, place, spot, "exact"))
            for change, work, quality in PLANTED:
                target = folder / f"{stem}-{change}.jpg"
                work(load_upright(path)).save(target, quality=quality)
                rows.append((target, shot, -1, place, spot, change))
        shot += 1
    columns = list(zip(*rows, strict=True))
    names = {name: number for number, name in enumerate(sorted(set(columns[4])))}
    numbers = [np.array(column) for column in columns[1:4]]
    return Planted(list(columns[0]), *numbers, np.array([names[name] for name in columns[4]]), list(columns[5]))


def _shaken(picture: Image.Image, rng: np.random.Generator) -> Iterator[Image.Image]:
    """Shots of one motif: the frame moves by up to 3 %, turns by up to 1 degree, exposure changes by up to 8 %."""
    width, height = picture.size
    for _ in range(SHOTS):
        turned = picture.rotate(float(rng.uniform(-1, 1)), Image.Resampling.BICUBIC)
        x, y = (float(rng.uniform(0.02, 0.08)) * side for side in (width, height))
        part = turned.crop((round(x), round(y), round(x + 0.9 * width), round(y + 0.9 * height)))
        yield ImageEnhance.Brightness(part).enhance(float(rng.uniform(0.92, 1.08)))


def _save(path: Path, picture: Image.Image, moment: str, step: int) -> None:
    exif = Image.Exif()
    exif[272] = "Bench"
    hours, minutes, seconds = (int(part) for part in moment.split(" ")[1].split(":"))
    total = hours * 3600 + 10 * (minutes * 60 + seconds) + step  # bursts lie ten seconds apart
    clock = f"{total // 3600 % 24:02}:{total // 60 % 60:02}:{total % 60:02}"
    exif.get_ifd(0x8769)[36867] = f"{moment.split(' ')[0]} {clock}"
    picture.save(path, quality=92, exif=exif)


def encoded(planted: Planted, model: Path) -> CodeSet:
    encoder = open_encoder(model)
    outputs = encoder.outputs(from_paths(planted.paths))
    return _codeset(planted.paths, encoder.space, encoder.codes(outputs.u), outputs.quality)


def hashed(planted: Planted, like: CodeSet) -> CodeSet:
    bits = like.space.bits
    values, _ = frequencies(from_paths(planted.paths))
    space = CodeSpace("pHash", bits, np.zeros(bits, np.float32))
    return _codeset(planted.paths, space, pack(phash(values, bits)), like.quality)


def _codeset(paths: list[Path], space: CodeSpace, codes: np.ndarray, quality: np.ndarray) -> CodeSet:
    hashes = tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    ids = np.arange(len(paths), dtype=np.int32)
    return CodeSet(space, ids, tuple(str(path) for path in paths), hashes, codes, quality)


def radius_at(codeset: CodeSet, planted: Planted, rate: float) -> int:
    """The largest radius at which at most `rate` of the pairs of different spots match."""
    counts = np.zeros(codeset.space.bits + 1, np.int64)
    for row in range(len(codeset)):
        others = planted.spot != planted.spot[row]
        counts += np.bincount(hamming(codeset.codes[row], codeset.codes[others]), minlength=len(counts))
    within = np.cumsum(counts) / counts.sum()
    return int(max(0, np.searchsorted(within, rate, side="right") - 1))


def truth(planted: Planted, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """0 exact or near, 1 burst, 2 place, 3 unknown (one spot under two names), 4 nothing in common."""
    found = np.full(len(a), 4)
    found[planted.spot[a] == planted.spot[b]] = 3
    found[(planted.place[a] >= 0) & (planted.place[a] == planted.place[b])] = 2
    found[(planted.burst[a] >= 0) & (planted.burst[a] == planted.burst[b])] = 1
    found[planted.shot[a] == planted.shot[b]] = 0
    return found


def predicted(found: Grouping) -> dict[str, np.ndarray]:
    """kind -> pairs of rows that a group of the kind or of a stricter one joins, int64 (P,2), a < b."""
    root = np.arange(len(found.codeset))
    pairs = {}
    for kind in groups_kinds.KINDS:
        for group in found.of(kind):
            root[np.isin(root, np.array(group.rows))] = group.rows[0]
        order = np.argsort(root, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(root[order])) + 1)
        listed = [np.stack(np.triu_indices(len(part), 1), 1) for part in parts if len(part) > 1]
        rows = [np.sort(part) for part in parts if len(part) > 1]
        joined = [part[index] for part, index in zip(rows, listed, strict=True)]
        pairs[kind] = np.concatenate(joined) if joined else np.zeros((0, 2), np.int64)
    return pairs


def score(found: Grouping, planted: Planted) -> dict[str, tuple[float, int]]:
    """Shares, each with the number of pairs it is of."""
    count = len(planted.paths)
    pairs = predicted(found)
    keys = {kind: np.unique(rows @ np.array([count, 1])) for kind, rows in pairs.items()}
    scores: dict[str, tuple[float, int]] = {}
    for at, kind in enumerate(groups_kinds.KINDS):
        fresh = np.setdiff1d(keys[kind], keys[groups_kinds.KINDS[at - 1]]) if at else keys[kind]
        what = truth(planted, *np.divmod(fresh, count))
        right = what <= {"exact": 0, "near": 0, "burst": 1, "place": 2}[kind]
        judged = what != 3
        if kind == "burst":  # photos with a clock of their own make bursts that are not in the truth
            a, b = np.divmod(fresh, count)
            judged &= (planted.burst[a] >= 0) | (planted.burst[b] >= 0)
        scores[f"{kind}: precision"] = _share(right[judged])
        if kind == "near":  # frames of a film that hardly moves look like one shot
            scores["near: of one place at least"] = _share((what <= 2)[judged])
    originals = {int(planted.shot[row]): row for row, change in enumerate(planted.change) if change == "original"}
    for change in ("exact", *(name for name, _, _ in PLANTED)):
        rows = [row for row, one in enumerate(planted.change) if one == change]
        wanted = [sorted((row, originals[int(planted.shot[row])])) for row in rows]
        wanted_keys = np.array(wanted).reshape(-1, 2) @ np.array([count, 1])
        kind = "exact" if change == "exact" else "near"
        scores[f"{change}: recall in {kind}"] = (float(np.isin(wanted_keys, keys[kind]).mean()), len(rows))
        scores[f"{change}: in any group"] = (float(np.isin(wanted_keys, keys["place"]).mean()), len(rows))
    a, b = np.triu_indices(count, 1)
    what = truth(planted, a, b)
    for number, kind in ((1, "burst"), (2, "place")):
        wanted_keys = a[what == number] * count + b[what == number]
        scores[f"{kind}: recall"] = (float(np.isin(wanted_keys, keys[kind]).mean()), len(wanted_keys))
    return scores


def _share(right: np.ndarray) -> tuple[float, int]:
    return (float(right.mean()) if len(right) else float("nan")), len(right)


def quality(photos: Path, workspace: Path, copies: int, bursts: int, rate: float) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        choose = plant(photos, Path(temporary) / "choose", True, copies, bursts)
        report = plant(photos, Path(temporary) / "report", False, copies, bursts)
        ours = encoded(choose, workspace / "model")
        theirs = hashed(choose, ours)
        calibration = read_calibration(workspace, ours.space)
        radius = calibration.radius if calibration else radius_at(ours, choose, rate)
        if calibration:
            others = radius_at(theirs, choose, calibration.false_match_rate(radius))
        else:
            others = radius_at(theirs, choose, rate)
        tested = encoded(report, workspace / "model")
        plain = hashed(report, tested)
        print(
            f"{ours.space.bits} bits; radius {radius} ({'calibrated' if calibration else 'first half'}), pHash {others}"
        )
        print(f"first half {len(choose.paths)} files, second half {len(report.paths)} files")
        columns = {}
        for name, codes, within, look, alone in (
            ("codes, off", tested, radius, "off", None),
            ("codes, quick", tested, radius, "quick", None),
            ("codes, match", tested, radius, "match", None),
            ("pHash, off", plain, others, "off", others),
            ("pHash, quick", plain, others, "quick", None),
        ):
            options = GroupsOptions(radius=within, look=look, near_radius=alone)  # type: ignore[arg-type]
            columns[name] = score(find_groups(codes, options, cache=Path(temporary) / "looks"), report)
        print(f"{'':<32}" + "".join(f"{name:>14}" for name in columns))
        for row in next(iter(columns.values())):
            cells = "".join(f"{one[row][0]:>14.3f}" for one in columns.values())
            number = columns["codes, quick"][row][1]
            print(f"{row:<32}{cells}   of {number} pairs")


def varied(photos: Path, folder: Path, count: int, side: int, seed: int = 0) -> list[Path]:
    """`count` files of `side` pixels: photos cut, mirrored, turned and re-lit at random; one in eight is a copy."""
    rng = np.random.default_rng(seed)
    sources = sorted(path for path in photos.rglob("*.jpg"))
    folder.mkdir(parents=True)
    made: list[Path] = []
    pictures: dict[Path, Image.Image] = {}
    while len(made) < count:
        path = folder / f"{len(made):06}.jpg"
        if made and rng.random() < 0.125:
            old = made[int(rng.integers(len(made)))]
            with Image.open(old) as image:
                image.save(path, quality=int(rng.integers(30, 80)))
            made.append(path)
            continue
        source = sources[int(rng.integers(len(sources)))]
        if source not in pictures:
            pictures[source] = load_upright(source, 2 * side)
        picture = pictures[source]
        share = float(rng.uniform(0.4, 0.9))
        width, height = round(share * picture.width), round(share * picture.height)
        x, y = int(rng.integers(picture.width - width + 1)), int(rng.integers(picture.height - height + 1))
        part = picture.crop((x, y, x + width, y + height))
        part.thumbnail((side, side))
        if rng.random() < 0.5:
            part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        part = part.rotate(float(rng.uniform(-10, 10)), Image.Resampling.BILINEAR)
        part = ImageEnhance.Brightness(part).enhance(float(rng.uniform(0.6, 1.4)))
        ImageEnhance.Color(part).enhance(float(rng.uniform(0, 2))).save(path, quality=int(rng.integers(60, 95)))
        made.append(path)
    return made


def scale(photos: Path, workspace: Path, count: int, side: int) -> None:
    """The whole command on a quarter of the files and on all of them, each in a process of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        start = time.perf_counter()
        paths = varied(photos, Path(temporary) / "photos", count, side)
        none, zero = [""] * count, np.zeros(count, np.int64)
        print(f"{count} files of {side} pixels made in {time.perf_counter() - start:.0f} s", flush=True)
        start = time.perf_counter()
        codeset = encoded(Planted(paths, zero, zero, zero, zero, none), workspace / "model")
        print(f"encoded in {time.perf_counter() - start:.0f} s", flush=True)
        for part in (count // 4, count):
            target = open_workspace(Path(temporary) / f"ws{part}", create=True)
            rows = np.random.default_rng(1).permutation(count)[:part]
            write_codes(target / "codes.parquet", codeset.rows(np.sort(rows)))
            calibration = workspace / "calibration.json"
            if calibration.exists():
                (target / "calibration.json").write_bytes(calibration.read_bytes())
            for name in ("first run", "again"):
                seconds, megabytes, text = measured(target)
                print(f"{part} photos, {name}: {seconds:.1f} s, {megabytes:.0f} MB at most")
            print(text)


def measured(workspace: Path) -> tuple[float, float, str]:
    """Seconds, peak resident memory in MB and output of one `hashpipe groups` (Linux)."""
    code = (
        "import re, sys; from hashpipe.cli.main import run; code = run(sys.argv[1:]); "
        "print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]); sys.exit(code)"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, "groups", "-w", workspace], check=True, capture_output=True, text=True
    )
    *text, peak = done.stdout.strip().splitlines()
    return time.perf_counter() - start, int(peak) / 1e3, "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument(
        "--workspace", type=Path, required=True, help="holds model/, and calibration.json if calibrated"
    )
    parser.add_argument("--copies", type=int, default=60, help="photos of each half that get copies")
    parser.add_argument("--bursts", type=int, default=30, help="photos of each half that become bursts")
    parser.add_argument("--rate", type=float, default=1e-3, help="false matches at the radius, where not calibrated")
    parser.add_argument("--scale", type=int, default=0, help="so many files for time and memory, instead of quality")
    parser.add_argument("--side", type=int, default=512, help="longest side of these files, pixels")
    arguments = parser.parse_args()
    if arguments.scale:
        scale(arguments.photos, arguments.workspace, arguments.scale, arguments.side)
    else:
        quality(arguments.photos, arguments.workspace, arguments.copies, arguments.bursts, arguments.rate)


if __name__ == "__main__":
    main()
