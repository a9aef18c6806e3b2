"""Encoding against its two limits, decoding only and computing only, for every runtime; and memory as photos grow.

    python benchmarks/bench_encode.py speed --photos DIR --weights mobilenet_v2-imagenet.safetensors
    python benchmarks/bench_encode.py memory --photos DIR --weights mobilenet_v2-imagenet.safetensors

The limit of both on shared cores is 1/(1/decode + 1/forward), each measured alone on all cores in the same run, in turn
with encoding itself; rates are medians over rounds. Without --photos photos are rendered, without --weights the network
has random weights.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from hashpipe.common.environment import cores
from hashpipe.common.files import atomic_folder, open_workspace
from hashpipe.hashing.codes import packing
from hashpipe.hashing.data import images
from hashpipe.hashing.data.listing import Listing, list_photos
from hashpipe.hashing.encoding import engines, runtimes
from hashpipe.hashing.encoding.encode import EncodeOptions, encode, open_encoder
from hashpipe.hashing.encoding.encoder import one_thread_each
from hashpipe.hashing.features import preprocess
from hashpipe.hashing.features.descriptors import make_describer
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.models.heads import linear_head
from hashpipe.hashing.models.model_folder import read_model
from hashpipe.hashing.models.network import make_model, save_model
from hashpipe.hashing.training.pca import fit_pca, itq
from hashpipe.pairgen.photos.load import load_upright
from hashpipe.pairgen.synthetic.demo_photos import write_demo_photos

BITS = 64
FULL_SIZE = (4000, 3000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory"))
    parser.add_argument("--photos", type=Path, help="folder of photos; else rendered ones")
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--weights", type=Path, help="weights of the network; else random ones")
    parser.add_argument("--count", type=int, default=400, help="photos of each kind for speed")
    parser.add_argument("--full-size", type=int, default=60, help="photos of 12 megapixels to make, 0 leaves them out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--runtimes", default="torch,onnx,openvino")
    parser.add_argument("--sizes", default="500,50000", help="photos for memory")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-encode-") as folder:
        photos = given.photos or rendered(Path(folder) / "rendered")
        workspace = make_workspace(Path(folder), photos, given)
        if given.what == "memory":
            memory(Path(folder), workspace, photos, given)
            return
        kinds = {"photos as given": list_photos(photos)}
        if given.full_size:
            full = full_size(Path(folder) / "full", kinds["photos as given"], given.full_size)
            kinds["12 megapixels"] = list_photos(full)
        for name, listing in kinds.items():
            speed(name, listing, workspace, given)


def speed(name: str, listing: Listing, workspace: Path, given: argparse.Namespace) -> None:
    """One table: a line for each runtime."""
    rows = np.arange(given.count) % len(listing)
    paths = [listing.path(int(row)) for row in rows]
    size = statistics.median(path.stat().st_size for path in paths) / 1e6
    print(f"\n{name}: {len(paths)} photos, median {size:.2f} MB, {given.threads} threads, photos/s, {BITS} bits")
    heads = ("runtime", "decode only", "forward only", "limit", "encode", "of the limit", "command", "bits flipped")
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    right = None
    for runtime in given.runtimes.split(","):
        if not engines.installed(runtime):
            print(f"| {runtime} | not installed |")
            continue
        (d, f, e, c), bits = rates(runtime, paths, workspace, given)
        limit = 1 / (1 / d + 1 / f)
        right = bits if right is None else right
        flipped = float((bits != right).mean())
        print(
            f"| {runtime} | {d:.1f} | {f:.1f} | {limit:.1f} | {e:.1f} | {e / limit:.2f} | {c:.1f} | {flipped:.2g} |",
            flush=True,
        )


def rates(runtime: str, paths: list[Path], workspace: Path, given: argparse.Namespace) -> tuple[np.ndarray, ...]:
    """Photos per second of decoding, computing, encoding and the whole command; and the bits, bool (N, BITS)."""
    count, threads = len(paths), given.threads
    encoder = open_encoder(workspace / "model", runtime=runtime, device="cpu", threads=threads)
    engine = encoder.engine

    def decode(path: Path) -> np.ndarray:
        return preprocess.pixels(engine.picture(lambda side: load_upright(path, side)))

    def opener(path: Path) -> preprocess.Open:
        return lambda side: load_upright(path, side)

    ready = [decode(path) for path in paths[:200]]

    def decode_all() -> None:
        for _ in preprocess.in_threads(lambda index: decode(paths[index]).size, count, threads):
            pass

    def forward_all() -> None:
        for _ in preprocess.in_threads(lambda index: engine.run(ready[index % len(ready)][None]), count, threads):
            pass

    def encode_all() -> np.ndarray:
        return np.array([one.u for one in encoder.stream(count, lambda index: opener(paths[index]))])

    def command() -> None:
        output = workspace / f"{runtime}.parquet"
        output.unlink(missing_ok=True)  # codes in it would be taken over
        encode(paths, workspace, EncodeOptions(output, runtime=runtime, workers=threads, device="cpu"))  # type: ignore[arg-type]

    with one_thread_each(engine):
        forward_all()  # shapes are prepared once
        u = encode_all()
        jobs = (decode_all, forward_all, encode_all, command)
        seconds = np.median([[clock(job) for job in jobs] for _ in range(given.rounds)], axis=0)
    return count / seconds, packing.unpack(encoder.codes(u), BITS)


def memory(folder: Path, workspace: Path, photos: Path, given: argparse.Namespace) -> None:
    """Peak resident memory of one encoding process, for each number of photos; a list names photos again and again."""
    listing = list_photos(photos)
    for runtime in given.runtimes.split(","):
        for size in map(int, given.sizes.split(",")):
            listed = folder / f"{size}.txt"
            listed.write_text("\n".join(str(listing.path(at % len(listing))) for at in range(size)))
            started = time.monotonic()
            command = [sys.executable, "-c", ONE_RUN, listed, workspace, runtime, given.threads]
            done = subprocess.run([*map(str, command)], check=True, capture_output=True, text=True)
            found = json.loads(done.stdout)
            print(
                f"{runtime}: {found['photos']} photos, peak {found['peak']:.0f} MB, torch "
                f"{'' if found['torch'] else 'not '}loaded, {time.monotonic() - started:.0f} s",
                flush=True,
            )


# one encoding in a process of its own, which loads nothing that encoding does not
ONE_RUN = """
import json, pathlib, sys
from hashpipe.hashing.encoding.encode import EncodeOptions, encode
listed, workspace, runtime, threads = sys.argv[1:]
output = pathlib.Path(workspace) / "codes.parquet"
output.unlink(missing_ok=True)  # codes in it would be taken over
options = EncodeOptions(output, runtime=runtime, workers=int(threads), device="cpu")
result = encode(pathlib.Path(listed), pathlib.Path(workspace), options)
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
peak = int(status["VmHWM"].split()[0]) / 1024
print(json.dumps({"photos": result.photos, "peak": peak, "torch": "torch" in sys.modules}))
"""


def make_workspace(folder: Path, photos: Path, given: argparse.Namespace) -> Path:
    """A workspace with a model: the network with ITQ codes of the photos, re-centred, exported."""
    workspace = open_workspace(folder / "workspace", create=True)
    listing = list_photos(photos)
    few = images.from_paths([listing.path(row) for row in range(min(len(listing), 600))])
    options = BackboneOptions(
        given.backbone, weights=str(given.weights or random_weights(folder, given.backbone)), device="cpu"
    )
    describer = make_describer(options, few)
    described = describer.describe(few)
    values = described.values[described.ok]
    space = fit_pca(values, 256, 0)
    head = linear_head(space.mean, space.axes @ itq(space(values), BITS, 0), np.zeros(BITS, np.float32))
    t = packing.thresholds(head(values)) if len(values) >= packing.ENOUGH_TO_CENTRE else np.zeros(BITS, np.float32)
    with atomic_folder(workspace / "model") as temporary:
        save_model(temporary, make_model(describer, {BITS: head}, {BITS: t}, {}))
    if runtimes.can_export():
        runtimes.prepare(
            read_model(workspace / "model"), BITS, []
        )  # export needs torch and its memory, encoding does not
    return workspace


def random_weights(folder: Path, backbone: str) -> Path:
    import torchvision
    from safetensors.torch import save_file

    path = folder / f"{backbone}-random.safetensors"
    state = torchvision.models.get_model(backbone, weights=None).state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return path


def rendered(folder: Path) -> Path:
    write_demo_photos(folder, 4, 12, 8, (1024, 768), seed=0)
    return folder


def full_size(folder: Path, listing: Listing, count: int) -> Path:
    """12-megapixel JPEGs: photos enlarged, with the noise of a sensor, of the size that cameras write."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        picture = load_upright(listing.path(number * len(listing) // count))
        size = FULL_SIZE if picture.width >= picture.height else FULL_SIZE[::-1]
        large = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.int16)
        noise = generator.integers(-6, 7, large.shape, dtype=np.int16)
        Image.fromarray(np.clip(large + noise, 0, 255).astype(np.uint8)).save(folder / f"{number:03d}.jpg", quality=90)
    return folder


def clock(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
