"""Everything that a GPU does here against what the machine allows, in one run of five minutes at most.

    python benchmarks/bench_gpu.py --photos DIR --weights mobilenet_v2-imagenet.safetensors --out gpu.json
    python benchmarks/bench_gpu.py --photos DIR --weights FILE --out small.json --small

The limits are measured in the same run: decoding alone, the network alone, forward and backward alone. Of DIR, some
hundred photos, thousands of distinct JPEG files are made by cropping. The JSON file is written after every section; a
section that fails leaves its error there and the others go on. --small runs the same on a processor with a few photos,
to see that it works; its figures mean nothing. Needs torch, torchvision, numpy, scipy, scikit-learn, Pillow and
safetensors; neither pyarrow nor FAISS.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hashpipe.common import environment
from hashpipe.hashing.codes import packing
from hashpipe.hashing.data import images
from hashpipe.hashing.data.listing import list_photos
from hashpipe.hashing.data.pair_labels import no_targets
from hashpipe.hashing.encoding import engines, photo_jobs
from hashpipe.hashing.encoding.encoder import open_encoder
from hashpipe.hashing.features import network_descriptors, processes, trunks
from hashpipe.hashing.features.descriptors import make_describer, restore_describer
from hashpipe.hashing.features.network_descriptors import described, normalised, on_device
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.models.heads import linear_head
from hashpipe.hashing.models.model_folder import read_model
from hashpipe.hashing.models.network import make_model, save_model
from hashpipe.hashing.training import nearest
from hashpipe.hashing.training.augment import Pieces
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.finetune import Tuned
from hashpipe.hashing.training.gpu_pieces import GpuPieces
from hashpipe.hashing.training.loop import fit_head, fit_heads
from hashpipe.hashing.training.options import FinetuneOptions, TrainOptions
from hashpipe.hashing.training.pca import fit_pca, itq

BITS = 64
SIDE = 384
_ROUNDS = 8  # batches that the network alone is timed over
BACKBONE = "mobilenet_v2"

FIRST = """
import sys, time
began = time.perf_counter()
marks = {}
def mark(name):
    marks[name] = round(time.perf_counter() - began, 2)
import torch, torchvision
mark("torch imported")
from pathlib import Path
from hashpipe.hashing.data import images
from hashpipe.hashing.features.descriptors import make_describer
from hashpipe.hashing.features.options import BackboneOptions
mark("hashpipe imported")
photo, weights, device = sys.argv[1:]
if device == "cuda":
    torch.zeros(1, device="cuda")
mark("device there")
listed = images.from_paths([Path(photo)])
describer = make_describer(BackboneOptions("mobilenet_v2", weights, device=device), listed)
mark("weights there")
assert describer.describe(listed).ok.all()
mark("first photo")
describer.describe(listed)
mark("second photo")
import json
print(json.dumps(marks))
"""


class Bench:
    """What all sections share."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.given, self.folder, self.small = given, folder, given.small
        self.device = torch.device("cpu" if given.small or not torch.cuda.is_available() else "cuda")
        self.began = time.monotonic()
        self.found: dict[str, Any] = {"machine": about(given), "small": given.small}
        self.sources = sorted(p for p in given.photos.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))

    @property
    def left(self) -> float:
        return float(self.given.seconds - (time.monotonic() - self.began))

    def run(self, name: str, work: Callable[[Bench], dict[str, Any]], needs: float = 0.0) -> None:
        """One section; its result, or its error, goes to the file at once."""
        if self.left < needs:
            self.found[name] = {"left out": f"{self.left:.0f} s were left and it takes {needs:.0f}"}
        else:
            start = time.monotonic()
            try:
                result = work(self)
            except Exception as error:
                result = {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()[-1500:]}
            self.found[name] = {**result, "seconds": round(time.monotonic() - start, 1)}
        print(name, json.dumps({k: v for k, v in self.found[name].items() if k != "trace"}), flush=True)
        partial = self.given.out.with_suffix(".part")
        partial.write_text(json.dumps(self.found, indent=1))
        partial.replace(self.given.out)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def rate(self, work: Callable[[], object], count: int, rounds: int = 3) -> float:
        """Photos per second, the median of some rounds after one that is not counted."""
        return round(count / self.clock(work, rounds), 1)

    def clock(self, work: Callable[[], object], rounds: int = 3, warm: bool = True) -> float:
        if warm:
            work()
        self.wait()
        seconds = []
        for _ in range(1 if self.small else rounds):
            start = time.perf_counter()
            work()
            self.wait()
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def without_faiss() -> bool:
    """Where FAISS is not installed the processor finds neighbours by torch, as the GPU does; whether that is so."""
    if importlib.util.find_spec("faiss") is not None:
        return False

    def by_torch(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        rows, values = nearest.in_blocks(torch.from_numpy(vectors), k)
        return rows.long().numpy(), values.numpy()

    nearest.knn.nearest = by_torch
    return True


def main() -> None:
    absent = without_faiss()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of JPEG photos to make others from")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2400, help="JPEG files to make")
    parser.add_argument("--seconds", type=float, default=290, help="sections begin only as long as they fit in")
    parser.add_argument("--commit", default="", help="where git is not at hand")
    parser.add_argument("--only", default="", help="sections to run, with commas between, else all of them")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--large-fit", type=int, default=0, help=argparse.SUPPRESS)  # own process of a section
    given = parser.parse_args()
    if given.large_fit:
        print(json.dumps(large_fit(given.large_fit, "cpu" if given.small else "auto")))
        return
    if given.small:
        given.count = min(given.count, 48)
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as folder:
        bench = Bench(given, Path(folder))
        bench.found["machine"]["processor's neighbours by torch, as FAISS is absent"] = absent
        sections: tuple[tuple[str, Callable[[Bench], dict[str, Any]], float], ...] = (
            ("first photo", first_photo, 0),
            ("photos", make_photos, 0),
            ("decode", decode, 0),
            ("forward", forward, 0),
            ("describe", describe, 20),
            ("equality", equality, 15),
            ("encode", encode, 15),
            ("fine-tune", fine_tune, 30),
            ("jpeg on the GPU", jpeg_on_gpu, 10),
            ("fit", fit, 20),
            ("fit of 300 thousand", lambda bench: fit_of(bench, 300_000), 40),
            ("fit of a million", lambda bench: fit_of(bench, 1_000_000), 100),
        )
        wanted = [one.strip() for one in given.only.split(",") if one.strip()]
        for name, work, needs in sections:
            if not wanted or name in wanted:
                bench.run(name, work, needs)
        summary(bench.found)


def about(given: argparse.Namespace) -> dict[str, Any]:
    git = shutil.which("git")
    commit = given.commit
    if git and not commit:
        done = subprocess.run([git, "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent)
        commit = done.stdout.strip()
    found = {"commit": commit, **environment.environment(), "shared memory": shutil.disk_usage("/dev/shm").free}
    if torch.cuda.is_available():
        found["gpu memory"] = torch.cuda.mem_get_info()[1]
    return found


def first_photo(bench: Bench) -> dict[str, Any]:
    """From process start to the first descriptor, in processes of their own; the first reads libraries from disk."""
    runs = []
    for _ in range(1 if bench.small else 2):
        start = time.perf_counter()
        command = [sys.executable, "-c", FIRST, bench.sources[0], bench.given.weights, bench.device.type]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-600:])
        runs.append(
            {**json.loads(done.stdout.splitlines()[-1]), "whole process": round(time.perf_counter() - start, 2)}
        )
    return {"runs": runs, "goal": "first photo <= 10 s"}


def make_photos(bench: Bench) -> dict[str, Any]:
    """Distinct JPEG files by cropping, in several shapes as photos have them."""
    target = bench.folder / "photos"
    target.mkdir()
    jobs = [
        (str(bench.sources[n % len(bench.sources)]), str(target / f"{n:05d}.jpg"), n) for n in range(bench.given.count)
    ]
    with ProcessPoolExecutor(environment.cores(), mp_context=get_context("fork")) as pool:
        sizes = list(pool.map(_cropped, jobs, chunksize=8))
    bench.paths = sorted(target.iterdir())  # type: ignore[attr-defined]
    bench.images = images.from_paths(bench.paths)  # type: ignore[attr-defined]
    return {
        "files": len(bench.paths),  # type: ignore[attr-defined]
        "median kB": round(statistics.median(size for size, _ in sizes) / 1000),
        "median megapixels": round(statistics.median(pixels for _, pixels in sizes) / 1e6, 2),
        "sources": len(bench.sources),
    }


def _cropped(job: tuple[str, str, int]) -> tuple[int, int]:
    source, target, number = job
    draw = np.random.default_rng(number)
    with Image.open(source) as opened:
        picture = opened.convert("RGB")
    width, height = picture.size
    share = (0.75, 0.85, 0.95)[number % 3]  # of each side: three shapes of file, one shape for a network
    across, down = int(width * share), int(height * share)
    left, top = int(draw.integers(width - across + 1)), int(draw.integers(height - down + 1))
    picture = picture.crop((left, top, left + across, top + down))
    picture.save(target, quality=88)
    return os.path.getsize(target), picture.width * picture.height


def _job(bench: Bench, side: int = SIDE) -> processes.Job:
    listed = bench.images  # type: ignore[attr-defined]
    return lambda row: (network_descriptors._sized(listed, row, side, False), None)


def decode(bench: Bench) -> dict[str, Any]:
    """Photos to pixels: threads and processes, from their start on and once they run; and moved to the device."""
    count = min(bench.given.count, 1600)
    cores = environment.cores()
    found: dict[str, Any] = {}
    kinds = [("threads", n) for n in (4, 8, 16)] + [("processes", n) for n in (4, 8, cores - 1, cores)]
    if bench.small:
        kinds = [("threads", 2), ("processes", 2)]
    before = processes._MOST_THREADS
    processes._MOST_THREADS = 64
    try:
        for kind, workers in kinds:
            start = time.perf_counter()
            running = 0.0
            for chunk in processes.chunks(_job(bench), count, 3 * SIDE * SIDE, workers, kind):  # type: ignore[arg-type]
                running = running or time.perf_counter()
                last = chunk
            end = time.perf_counter()
            found[f"{kind} {workers}"] = {
                "photos/s": round(count / (end - start), 1),
                "once running": round((count - processes.CHUNK) / (end - running), 1),
            }
    finally:
        processes._MOST_THREADS = before
    shapes = bench.shapes = [shape for shape in last.shapes if shape]  # type: ignore[attr-defined]
    found["pixels"] = sorted({"x".join(map(str, shape)) for shape in shapes})
    start = time.perf_counter()
    one = _job(bench)
    for row in range(16):
        one(row)
    found["one thread"] = round(16 / (time.perf_counter() - start), 1)
    found["limit"] = max(one["photos/s"] for one in found.values() if isinstance(one, dict))
    flat = last.flat
    seconds = bench.clock(lambda: flat.to(bench.device, non_blocking=True), 20)
    found["transfer GB/s"] = round(flat.numel() / seconds / 1e9, 2)
    return found


def _trunk(bench: Bench) -> Any:
    chosen = trunks.choose(BACKBONE, str(bench.given.weights))
    return on_device(trunks.load(chosen, "gem"), bench.device)


def _pixels(bench: Bench, count: int, height: int, width: int) -> Tensor:
    generator = torch.Generator(bench.device).manual_seed(0)
    shape = (count, height, width, 3)
    return torch.randint(0, 256, shape, generator=generator, device=bench.device, dtype=torch.uint8)


def forward(bench: Bench) -> dict[str, Any]:
    """The network alone on pixels that lie on the device, normalising included, 384 x 288."""
    trunk = _trunk(bench)
    found: dict[str, Any] = {}
    for precision in ("float32", "bf16"):
        for batch in (2,) if bench.small else (32, 128, 256):
            pixels = _pixels(bench, batch, SIDE, 288)
            rate = bench.rate(lambda: _forward_some(trunk, pixels, precision), _ROUNDS * batch)  # noqa: B023
            found[f"{precision} batch {batch}"] = rate
    if bench.device.type == "cuda":
        pixels = _pixels(bench, 128, SIDE, 288)
        torch.backends.cudnn.allow_tf32 = True

        def tf32() -> None:
            with torch.inference_mode():
                for _ in range(_ROUNDS):
                    trunk(normalised(pixels, trunk))

        found["tf32 batch 128"] = bench.rate(tf32, _ROUNDS * 128)
    bench.limit_forward = {  # type: ignore[attr-defined]
        one: max(rate for name, rate in found.items() if name.startswith(one)) for one in ("float32", "bf16")
    }
    if bench.device.type == "cuda":
        for batch in (32, 128):
            try:
                found[f"bf16 batch {batch}, CUDA graph"] = bench.rate(_graphed(bench, trunk, batch), _ROUNDS * batch)
            except Exception as error:
                found[f"bf16 batch {batch}, CUDA graph"] = f"{type(error).__name__}: {error}"[:300]
    return found


def _forward_some(trunk: Any, pixels: Tensor, precision: str) -> None:
    for _ in range(_ROUNDS):
        described(trunk, pixels, [1.0], "descriptors", precision)


def _graphed(bench: Bench, trunk: Any, batch: int) -> Callable[[], None]:
    pixels = _pixels(bench, batch, SIDE, 288)
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        mean, std = (torch.tensor(one, device=bench.device)[:, None, None] for one in (trunk.mean, trunk.std))

        def once() -> Tensor:
            result: Tensor = trunk((pixels.permute(0, 3, 1, 2).float().div_(255) - mean) / std)
            return result

        with torch.cuda.stream(side):
            for _ in range(3):
                once()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            once()

    def some() -> None:
        for _ in range(_ROUNDS):
            graph.replay()

    return some


def _describer(bench: Bench, precision: str) -> Any:
    options = BackboneOptions(BACKBONE, str(bench.given.weights), device=bench.device.type)
    return make_describer(options, bench.images, None, precision)  # type: ignore[attr-defined]


def _run(bench: Bench, precision: str, kind: str = "auto", workers: int = 0) -> list[np.ndarray | None]:
    """All photos on a device, as `Describer.describe` computes them; on a processor too."""
    listed = bench.images  # type: ignore[attr-defined]
    describer = _describer(bench, precision)
    trunk = _trunk(bench)
    return network_descriptors._run_on_gpu(
        listed, describer.config, trunk, bench.device, lambda *given: None, "descriptors", precision, workers, kind
    )


def describe(bench: Bench) -> dict[str, Any]:
    """Whole describing without a cache, first with all its parts and then by the library's own call."""
    count = len(bench.images)  # type: ignore[attr-defined]
    limit = {
        one: min(bench.found["decode"]["limit"], bench.limit_forward[one])  # type: ignore[attr-defined]
        for one in ("float32", "bf16")
    }
    found: dict[str, Any] = {"limit": limit}

    def drained(move: bool) -> None:
        for chunk in processes.chunks(_job(bench), count, 3 * SIDE * SIDE):
            if move:
                chunk.flat.to(bench.device, non_blocking=True)

    found["decode only"] = bench.rate(lambda: drained(False), count, 1)
    found["decode and transfer"] = bench.rate(lambda: drained(True), count, 1)
    for precision in ("float32", "bf16"):
        describer = _describer(bench, precision)
        if bench.device.type == "cuda":
            bench.values = describer.describe(bench.images).values  # type: ignore[attr-defined]
            rates = [bench.rate(lambda: describer.describe(bench.images), count, 2)]  # type: ignore[attr-defined]  # noqa: B023
        else:
            rates = [bench.rate(lambda: _run(bench, precision, "processes", 2), count, 1)]  # noqa: B023
            bench.values = describer.describe(bench.images).values  # type: ignore[attr-defined]
        found[precision] = {"photos/s": rates[0], "of the limit": round(rates[0] / limit[precision], 3)}
        if precision == "float32":
            bench.exact = bench.values  # type: ignore[attr-defined]
    found["float32 in 8 threads"] = bench.rate(lambda: _run(bench, "float32", "threads", 8), count, 1)
    return found


def equality(bench: Bench) -> dict[str, Any]:
    """Batches against one photo at a time, bf16 and the processor against float32: largest gap, and bits that flip."""
    listed = bench.images  # type: ignore[attr-defined]
    exact, fast = bench.exact, bench.values  # type: ignore[attr-defined]
    rows = np.arange(0, len(listed), max(1, len(listed) // (20 if bench.small else 300)))
    trunk = _trunk(bench)
    alone = np.concatenate(
        [
            network_descriptors.describe_pixels(trunk, _job(bench)(int(row))[0][None], [1.0], bench.device)
            for row in rows
        ]  # type: ignore[index]
    )
    space = fit_pca(exact, 256, 0)
    bench.head = linear_head(space.mean, space.axes @ itq(space(exact), BITS, 0), np.zeros(BITS, np.float32))  # type: ignore[attr-defined]
    thresholds = packing.middles(bench.head(exact))  # type: ignore[attr-defined]

    def compared(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
        bits = [bench.head(values) >= thresholds for values in (one, other)]  # type: ignore[attr-defined]
        return {
            "largest gap": float(np.abs(one - other).max()),
            "least cosine": float((one * other).sum(1).min()),
            "bits flipped": float((bits[0] != bits[1]).mean()),
            "photos": len(one),
        }

    few = rows[:: max(1, len(rows) // 60)]
    restored = restore_describer(_describer(bench, "float32").config, _describer(bench, "float32").tensors, "cpu")
    cpu = restored.describe(listed.subset(few)).values
    return {
        "batched against alone, float32": compared(exact[rows], alone),
        "bf16 against float32": compared(fast, exact),
        "device against processor, float32": compared(exact[few], cpu),
    }


def encode(bench: Bench) -> dict[str, Any]:
    """Files to parts of a codes file: read, hashed, decoded, computed, packed; the codes file itself is not written."""
    model = bench.folder / "model"
    model.mkdir()
    listed = bench.images  # type: ignore[attr-defined]
    describer = _describer(bench, "float32")
    thresholds = {BITS: packing.middles(bench.head(bench.exact))}  # type: ignore[attr-defined]
    save_model(model, make_model(describer, {BITS: bench.head}, thresholds, {}))  # type: ignore[attr-defined]
    listing = list_photos(bench.paths)  # type: ignore[attr-defined]
    ids = np.arange(len(listing), dtype=np.int32)
    found: dict[str, Any] = {}
    bits = {}
    for precision in ("float32", "bf16"):
        if bench.device.type == "cpu":
            encoder = open_encoder(model, runtime="torch", device="cpu")
            network = engines.torch_network(read_model(model), BITS, "cpu")
            encoder = replace(encoder, engine=replace(encoder.engine, gpu=network))
        else:
            encoder = open_encoder(model, device="cuda", precision=precision)
        seconds = []
        for number in range(2 if bench.small else 3):
            folder = bench.folder / f"parts-{precision}-{number}"
            folder.mkdir()
            work = photo_jobs.Work(listing, encoder, folder, {})
            start = time.perf_counter()
            photo_jobs.encode_all(work, ids, "part", outputs=False)
            seconds.append(time.perf_counter() - start)
        done = photo_jobs.finished(work, ids, "part")
        assert all((part.reasons == "").all() for part in done)
        bits[precision] = packing.unpack(np.concatenate([part.values for part in done]), BITS)
        rate = len(listed) / statistics.median(seconds[1:])
        limit = min(bench.found["decode"]["limit"], bench.limit_forward[precision])  # type: ignore[attr-defined]
        found[precision] = {"photos/s": round(rate, 1), "limit": limit, "of the limit": round(rate / limit, 3)}
    found["bits flipped by bf16"] = float((bits["float32"] != bits["bf16"]).mean())
    return found


class Steps(Checkpoint):
    """Times whole steps of the loop."""

    def __init__(self, bench: Bench, steps: int) -> None:
        super().__init__()
        self.bench, self.wanted, self.times = bench, steps, [0.0]
        self.times.clear()

    def after(self, step: int, steps: int, bits: int, parts: dict[str, Tensor], state: Any) -> bool:
        self.bench.wait()
        self.times.append(time.perf_counter())
        return len(self.times) > self.wanted

    @property
    def seconds(self) -> float:
        return float(np.median(np.diff(self.times)[1:]))


def _options(bench: Bench, batch: int) -> TrainOptions:
    return TrainOptions(
        (BITS,),
        describe=BackboneOptions(BACKBONE, str(bench.given.weights), device=bench.device.type),
        photos=bench.given.photos,
        batch_pairs=batch // 8,
        batch_others=batch // 2,
        tune=FinetuneOptions("all", precision="bf16", finetune_steps=400),
    )


def fine_tune(bench: Bench) -> dict[str, Any]:
    """A step of all layers, 512 photos of 224 pixels in bf16, beside forward and backward alone; and its parts."""
    listed, exact = bench.images, bench.exact  # type: ignore[attr-defined]
    batch = 16 if bench.small else 512
    options = _options(bench, batch)
    describer = _describer(bench, "float32")
    space = fit_pca(exact, options.pca, 0)
    x = space(exact)
    found: dict[str, Any] = {}

    def steps(pieces: Pieces | None, count: int) -> tuple[float, Tuned]:
        network = Tuned(describer, listed, space, options)
        if pieces is not None:
            network.pieces = pieces
        timed = Steps(bench, count)
        fit_head(x, no_targets(len(x)), replace(options, steps=400, noise=0.0), BITS, timed, None, network)
        return timed.seconds, network

    def kept(uses: int) -> GpuPieces:
        return GpuPieces(listed, 224, True, 0, bench.device, uses)

    start = time.perf_counter()
    whole = kept(10**9)
    whole.fill()
    bench.wait()
    found["decoded once, photos/s"] = round(len(listed) / (time.perf_counter() - start), 1)
    seconds, network = steps(whole, 3 if bench.small else 30)
    photos = len(network._pixels)
    found |= {"photos a step": photos, "step s": round(seconds, 4), "photos/s": round(photos / seconds, 1)}
    pixels = network.pieces.batch(list(range(photos)), 0)

    def bare() -> None:
        network.forward(pixels).sum().backward()
        for one in network.parameters:
            one.grad = None

    found["bare forward and backward s"] = round(bench.clock(bare, 10), 4)
    found["of the limit"] = round(found["bare forward and backward s"] / seconds, 3)
    with torch.no_grad():
        found["forward s"] = round(bench.clock(lambda: network.forward(pixels), 10), 4)
    rows = list(range(photos))
    found["cut and recolour s"] = round(bench.clock(lambda: network.pieces.batch(rows, 3), 10), 4)
    found["boxes drawn s"] = round(bench.clock(lambda: whole._draw(rows, 3), 5), 4)
    found["without augmentation's wait s"] = round(_ahead(bench, whole, rows), 4)
    found["parts of a step s"] = _parts(bench, x, options, network)
    network.answer_on(torch.device("cpu"))
    few = 2 if bench.small else 3
    found["pieces by the processor: step s"] = round(steps(Pieces(listed, 224, True, 0), few + 1)[0], 4)
    found["photos not kept: step s"] = round(steps(_never_kept(kept(0)), few + 2)[0], 4)
    found["photos not kept: limit s"] = round(photos / _decode_rate(listed, photos), 4)
    found["state with the processor: step s"] = round(_state_on_cpu(lambda: steps(whole, few + 3)[0]), 4)
    return found


def _ahead(bench: Bench, pieces: GpuPieces, rows: list[int]) -> float:
    """A batch whose boxes were drawn before it is asked for."""
    seconds = []
    for step in range(6):
        pieces.ahead(rows, step)
        time.sleep(0.1)
        start = time.perf_counter()
        pieces.batch(rows, step)
        bench.wait()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _never_kept(pieces: GpuPieces) -> GpuPieces:
    pieces._left = -1
    return pieces


def _decode_rate(listed: Any, count: int) -> float:
    """Photos per second of decoding a step's photos in the threads that do it."""
    from hashpipe.hashing.features import preprocess
    from hashpipe.hashing.training.augment import decoded

    start = time.perf_counter()
    for _ in preprocess.in_threads(lambda row: decoded(listed, row % len(listed), 224).size, count, 8):
        pass
    return count / (time.perf_counter() - start)


def _state_on_cpu(work: Callable[[], float]) -> float:
    from hashpipe.hashing.training.objectives.joint import Joint

    Joint.on_device = False
    try:
        return work()
    finally:
        Joint.on_device = True


def _parts(bench: Bench, x: np.ndarray, options: TrainOptions, network: Tuned) -> dict[str, float]:
    """One step taken apart, each part to its end: slower together than a step, in which they overlap."""
    from hashpipe.hashing.training import distributed, finite, loop
    from hashpipe.hashing.training.recipes import recipe_of

    options = replace(options, steps=400, noise=0.0)
    recipe = recipe_of(options, False, len(x))
    state, _, _ = loop._begin(x, no_targets(len(x)), options, recipe, BITS, None, network, None)
    parts: dict[str, list[float]] = {}

    @contextmanager
    def part(name: str) -> Iterator[None]:
        bench.wait()
        start = time.perf_counter()
        yield
        bench.wait()
        parts.setdefault(name, []).append(time.perf_counter() - start)

    features = network.features

    def timed(rows: Tensor, chosen: slice) -> Tensor:
        with part("of drawing: pieces and forward"):
            return features(rows, chosen)

    network.features = timed  # type: ignore[method-assign]
    for step in range(3 if bench.small else 8):
        with part("draw a batch, pieces and forward included"):
            drawn = loop._draw(state, recipe, step, 0.0)
        with part("loss"):
            losses = state.objective.loss(drawn)
            finite.check_loss(losses, "")
        with part("loss backward"):
            state.optimiser.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
        with part("network backward"):
            network.finish_backward()
        with part("check gradients"):
            distributed.sum_gradients(state.shared)
            finite.check_gradients(state.parameters, drawn.u, dict, "")
        with part("optimiser"):
            state.optimiser.step()
    del network.features
    return {name: round(statistics.median(values[1:]), 4) for name, values in parts.items()}


def jpeg_on_gpu(bench: Bench) -> dict[str, Any]:
    """torchvision's decoder on the device, with an antialiased resize there: its rate, and what it does to bits."""
    from torch.nn import functional
    from torchvision.io import ImageReadMode, decode_jpeg

    count = min(len(bench.paths), 40 if bench.small else 512)  # type: ignore[attr-defined]
    files = [torch.from_numpy(np.fromfile(path, np.uint8)) for path in bench.paths[:count]]  # type: ignore[attr-defined]

    def decoded_all(size: int) -> list[Tensor]:
        found = []
        for start in range(0, count, size):
            found += decode_jpeg(files[start : start + size], ImageReadMode.RGB, device=bench.device)
        return found

    found: dict[str, Any] = {}
    for size in (8,) if bench.small else (16, 64):
        found[f"decode, {size} at once"] = bench.rate(lambda: decoded_all(size), count, 2)  # noqa: B023

    def shrunk() -> list[Tensor]:
        result = []
        for picture in decoded_all(64):
            scale = SIDE / max(picture.shape[1:])
            size = [max(32, round(length * scale)) for length in picture.shape[1:]]
            one = functional.interpolate(picture[None].float(), size, mode="bicubic", antialias=True)
            result.append(one.round_().clamp_(0, 255).to(torch.uint8)[0].permute(1, 2, 0))
        return result

    found["decode and shrink"] = bench.rate(shrunk, count, 2)
    trunk = _trunk(bench)
    values = np.concatenate([described(trunk, one[None], [1.0], "descriptors").cpu().numpy() for one in shrunk()])
    exact = bench.exact[:count]  # type: ignore[attr-defined]
    thresholds = packing.middles(bench.head(bench.exact))  # type: ignore[attr-defined]
    bits = [bench.head(one) >= thresholds for one in (values, exact)]  # type: ignore[attr-defined]
    found |= {
        "least cosine": float((values * exact).sum(1).min()),
        "bits flipped": float((bits[0] != bits[1]).mean()),
        "pillow's limit in this run": bench.found["decode"]["limit"],
    }
    return found


def fit(bench: Bench) -> dict[str, Any]:
    """A 64-bit fit of descriptors that are there, with the processor and on the device."""
    found: dict[str, Any] = {}
    for photos in (200,) if bench.small else (2400, 10_000):
        values = clustered(photos)
        for device in dict.fromkeys(("cpu", bench.device.type)):
            describe = BackboneOptions(device=device)  # type: ignore[arg-type]
            options = TrainOptions((BITS,), describe=describe, steps=20 if bench.small else None)
            start = time.perf_counter()
            fit_heads(values, no_targets(photos), options)
            found[f"{photos} photos, {device}"] = round(time.perf_counter() - start, 2)
    return found


def clustered(photos: int, dimensions: int = 1280) -> np.ndarray:
    """Unit rows float32 around one centre for ten photos."""
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(max(1, photos // 10), dimensions)).astype(np.float32)
    found = centres[np.arange(photos) % len(centres)] + draw.normal(size=(photos, dimensions)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def fit_of(bench: Bench, photos: int) -> dict[str, Any]:
    """A large fit in a process of its own, whose peaks are then those of the fit."""
    photos = 2000 if bench.small else photos
    command = [sys.executable, __file__, "--photos", ".", "--weights", ".", "--out", ".", "--large-fit", str(photos)]
    command += ["--small"] if bench.small else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(bench.left, 20))
    except subprocess.TimeoutExpired as late:
        raise RuntimeError(f"no time was left; it said {str(late.stderr)[-800:]}") from None
    if done.returncode:
        raise RuntimeError(done.stderr[-1200:])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def large_fit(photos: int, device: str) -> dict[str, Any]:
    """Random clustered descriptors float16 (N,1280) in a file, memory-mapped, and one 64-bit fit of them."""
    dimensions, block = 1280, 20_000
    place = torch.device("cpu" if device == "cpu" else "cuda")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "descriptors.npy"
        start = time.perf_counter()
        rows = np.lib.format.open_memmap(path, "w+", np.float16, (photos, dimensions))
        generator = torch.Generator(place).manual_seed(0)
        centres = torch.randn(max(1, photos // 10), dimensions, generator=generator, device=place)
        for at in range(0, photos, block):
            number = torch.arange(at, min(at + block, photos), device=place) % len(centres)
            some = centres[number] + torch.randn(len(number), dimensions, generator=generator, device=place)
            rows[at : at + block] = torch.nn.functional.normalize(some, dim=1).half().cpu().numpy()
        rows.flush()
        del rows, centres
        made = time.perf_counter() - start
        print(f"{photos} descriptors made in {made:.0f} s", file=sys.stderr, flush=True)
        mapped = np.load(path, mmap_mode="r")
        before = _memory()
        if place.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        lines: list[dict[str, Any]] = []
        start = time.perf_counter()
        options = TrainOptions((BITS,), describe=BackboneOptions(device=device))  # type: ignore[arg-type]
        heads = fit_heads(mapped, no_targets(photos), options, record=_kept_and_said(lines, start))
        seconds = time.perf_counter() - start
        u = heads[BITS](mapped)
    found: dict[str, Any] = {
        "photos": photos,
        "device": place.type,
        "file GB": round(photos * dimensions * 2 / 1e9, 2),
        "file made s": round(made, 1),
        "fit s": round(seconds, 1),
        "memory before MB": before["VmRSS"],
        "peak memory MB": _memory()["VmHWM"],  # of which the mapped file's pages are a part, which the system may drop
        "peak without mapped pages MB": _memory()["VmHWM"] - _memory()["RssFile"],
        "outputs' balance": float(np.abs((u >= 0).mean(0) - 0.5).max()),
        "neighbours at the end": lines[-1].get("edges"),
    }
    if place.type == "cuda":
        found["peak GPU memory MB"] = round(torch.cuda.max_memory_allocated() / 1e6)
    return found


def _kept_and_said(lines: list[dict[str, Any]], start: float) -> Callable[[dict[str, Any]], None]:
    def record(line: dict[str, Any]) -> None:
        lines.append(line)
        print(f"{time.perf_counter() - start:.1f} s: {json.dumps(line)[:160]}", file=sys.stderr, flush=True)

    return record


def _memory() -> dict[str, int]:
    """Megabytes of this process by the kernel's names."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    found = dict(line.split(":", 1) for line in lines if line.startswith(("Vm", "Rss")))
    return {name: int(value.split()[0]) // 1024 for name, value in found.items()}


def summary(found: dict[str, Any]) -> None:
    """The goals in four lines."""
    print("\n--- goals")
    tune = found.get("fine-tune", {})
    print(f"fine-tune {tune.get('of the limit')} of forward and backward (goal .8)")
    for name in ("describe", "encode"):
        parts = {one: found.get(name, {}).get(one, {}).get("of the limit") for one in ("float32", "bf16")}
        print(f"{name} {parts} of min(decode, forward) (goal .8)")
    runs = found.get("first photo", {}).get("runs", [])
    print(f"first photo {[run['first photo'] for run in runs]} s (goal 10)")


if __name__ == "__main__":
    main()
