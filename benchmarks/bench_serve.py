"""How many searches a second does the page's server answer, how long do they take, and does its memory stay flat?

    python benchmarks/bench_serve.py                        1,000,000 codes, 50 at a time, 60 s of each kind
    python benchmarks/bench_serve.py --codes 50000 --seconds 5 --kinds code,photo --models WORKSPACE/model
    python benchmarks/bench_serve.py --codes 10000 --kinds upload

Starts `hashpipe serve` as its own process on loopback and asks it from another one, over kept connections: `code` and
`photo` search by a code and by a photo of the collection (with --counts also how many lie within every radius),
`upload` sends a rendered picture that is encoded with the model, for each of --models: `vlad` and `network` are made
here with random heads and weights (MobileNetV2 at 384 pixels, exported where ONNX Runtime is installed), as slow as
trained ones; anything else is a model folder. Codes are clustered: groups of 20 around random centres, every bit
flipped in a tenth of them. Memory is the resident set of the server and its processes before, in the middle and after.
All share the machine, so the asking costs throughput too: the processor time of one search is printed for server and
asker, of all threads and processes together. It says more than the rate where other work runs beside.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hashpipe.common.files import open_workspace
from hashpipe.hashing.codes.codes_file import CodeSet, CodeSpace, write_codes
from hashpipe.hashing.encoding.encode import open_encoder
from hashpipe.hashing.search.index_commands import build_index
from hashpipe.hashing.search.index_options import IndexOptions

if TYPE_CHECKING:
    from hashpipe.hashing.features.options import BackboneOptions

CLUSTER, FLIP = 20, 0.1


def clustered(count: int, space: CodeSpace, seed: int = 0) -> CodeSet:
    """`count` codes in clusters, as photos of places have them."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 256, (-(-count // CLUSTER), space.width), dtype=np.uint8)
    codes = np.repeat(centres, CLUSTER, axis=0)[:count]
    for start in range(0, count, 1 << 17):
        part = codes[start : start + (1 << 17)]
        flips = np.packbits(rng.random((len(part), space.bits)) < FLIP, axis=1, bitorder="little")
        codes[start : start + (1 << 17)] = part ^ flips
    codes &= np.packbits(np.arange(space.width * 8) < space.bits, bitorder="little")
    paths = tuple(f"{row // 1000:04d}/{row:07d}.jpg" for row in range(count))
    photos, quality = np.arange(count, dtype=np.int32), np.ones(count, np.float32)
    return CodeSet(space, photos, paths, tuple(f"{row:064x}" for row in range(count)), codes, quality, "/photos")


def vlad_model(folder: Path) -> Path:
    """A VLAD model of 64 bits with random heads."""
    from hashpipe.hashing.features.options import BackboneOptions

    return _made(folder, BackboneOptions(backbone="vlad", words=64, image_size=640))


def network_model(folder: Path) -> Path:
    """A MobileNetV2 of 64 bits with random weights and heads, exported where that can be."""
    import torch
    import torchvision
    from safetensors.torch import save_file

    from hashpipe.hashing.encoding import runtimes
    from hashpipe.hashing.features.options import BackboneOptions
    from hashpipe.hashing.models.model_folder import read_model

    torch.manual_seed(0)
    net = torchvision.models.mobilenet_v2(weights=None)
    for _ in range(20):  # its normalisations learn how large values are, else they vanish on the way
        net(torch.randn(8, 3, 128, 128))
    state = net.state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "random.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, weights)
    made = _made(folder, BackboneOptions(backbone="mobilenet_v2", weights=str(weights), device="cpu"))
    if runtimes.can_export():
        runtimes.prepare(read_model(made), 64, [])
    return made


def _made(folder: Path, options: BackboneOptions) -> Path:
    from hashpipe.hashing.data import images
    from hashpipe.hashing.features.descriptors import make_describer
    from hashpipe.hashing.models.network import Head, make_model, save_model

    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    for number in range(4):
        (pictures / f"{number}.png").write_bytes(picture(number))
    describer = make_describer(options, images.from_folder_or_list(pictures))
    values = describer.describe(images.from_folder_or_list(pictures)).values
    weight = np.random.default_rng(0).normal(size=(values.shape[1], 64)).astype(np.float32)
    head = Head(values.mean(axis=0), weight, np.zeros(64, np.float32))
    (folder / "model").mkdir()
    save_model(folder / "model", make_model(describer, {64: head}, {64: np.zeros(64, np.float32)}, {}))
    return folder / "model"


MADE = {"vlad": vlad_model, "network": network_model}


def picture(seed: int, size: tuple[int, int] = (640, 480)) -> bytes:
    """A textured picture as JPEG, as large as a photo that a page shrank."""
    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 256, (size[1] // 20, size[0] // 20, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(content, "JPEG", quality=90)
    return content.getvalue()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bytes]:
    """Status and body of one request on a kept connection; a whole HTTP client would cost more than the search."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    return int(head.split()[1]), await reader.readexactly(length)


def requests(kind: str, arguments: argparse.Namespace, info: dict[str, Any]) -> Iterator[bytes]:
    """Requests without end, each for another photo or code."""
    rng, host = np.random.default_rng(1), f"Host: {info['host']}:{info['port']}\r\n"
    values = f"limit={arguments.limit}&counts={str(arguments.counts).lower()}"
    forms = []
    for seed in range(8):
        head = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
        forms.append(head + picture(seed) + b"\r\n--x--\r\n")
    while True:
        number = int(rng.integers(0, info["photos"]))
        if kind == "upload":
            form = forms[number % len(forms)]
            kinds = f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(form)}\r\n\r\n"
            yield f"POST /api/search?{values} HTTP/1.1\r\n{host}{kinds}".encode() + form
        elif kind == "photo":
            yield f"GET /api/photos/{number}/similar?{values} HTTP/1.1\r\n{host}\r\n".encode()
        else:
            code = rng.integers(0, 256, info["bits"] // 8, dtype=np.uint8).tobytes().hex()
            yield f"GET /api/search?{values}&code={code} HTTP/1.1\r\n{host}\r\n".encode()


async def load(kind: str, arguments: argparse.Namespace, info: dict[str, Any]) -> dict[str, Any]:
    """Ask for some seconds over several connections at a time; latencies in seconds and what failed."""
    taken: list[float] = []
    errors: list[str] = []
    busy, asked, until = 0, requests(kind, arguments, info), time.monotonic() + arguments.seconds

    async def one() -> None:
        nonlocal busy
        reader, writer = await asyncio.open_connection(info["host"], info["port"], limit=1 << 20)
        while time.monotonic() < until:
            start = time.perf_counter()
            status, body = await ask(reader, writer, next(asked))
            if status == 503:
                busy += 1
                await asyncio.sleep(2)
            elif status != 200 or body.count(b'"distance"') != arguments.limit:
                errors.append(f"{status} {body[:100]!r}")
            else:
                taken.append(time.perf_counter() - start)
        writer.close()

    begun = time.monotonic()
    for failure in await asyncio.gather(*[one() for _ in range(arguments.at_once)], return_exceptions=True):
        if failure is not None:
            errors.append(repr(failure))
    return {"taken": np.array(taken), "errors": errors, "busy": busy, "seconds": time.monotonic() - begun}


def family(process: int) -> list[int]:
    """A process and those it started (Linux)."""
    found = [process]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == process:
                found.append(int(stat.parent.name))
    return found


def resident(process: int) -> float:
    """Resident memory of a server and its processes in MB (Linux)."""
    total = 0.0
    for one in family(process):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
            total += sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
    return total


def processor(process: int) -> float:
    """Processor time that a server and its processes have used, in seconds (Linux)."""
    total = 0
    for one in family(process):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def report(kind: str, found: dict[str, Any], memory: list[float], served: float, asked: float) -> None:
    taken = found["taken"] * 1000
    shown = [f"{np.percentile(taken, q):8.1f}" for q in (50, 99)] if len(taken) else ["       -"] * 2
    print(
        f"{kind:<16}{len(taken):>9}{len(taken) / found['seconds']:>10.1f}{shown[0]}{shown[1]}"
        f"{len(found['errors']):>8}{found['busy']:>6}   {' '.join(f'{one:7.0f}' for one in memory)}"
        f"{1000 * served / max(len(taken), 1):>9.2f}{1000 * asked / max(len(taken), 1):>9.2f}",
        flush=True,
    )
    for error in found["errors"][:3]:
        print(f"    {error}")


def run(workspace: Path, arguments: argparse.Namespace, kinds: Sequence[str], model: str) -> int:
    command = [Path(sys.executable).with_name("hashpipe"), "serve", "-w", workspace, "--port", "0", "--json"]
    if model == "network" and any((workspace / "model").glob("exported/*/*.onnx")):
        command += ["--runtime", "onnx"]  # by itself it is not chosen: outputs of random weights lie at the thresholds
    server = subprocess.Popen([*map(str, command), "--queue", "256"], stdout=subprocess.PIPE, text=True)
    failed = 0
    try:
        assert server.stdout is not None
        text = ""
        while not text.rstrip().endswith("}"):
            line = server.stdout.readline()
            if not line:
                raise SystemExit("the server did not start")
            text += line
        info = json.loads(text)
        asyncio.run(warm(arguments, info))
        for kind in kinds:
            halves, memory = [], [resident(server.pid)]
            asked, served = time.process_time(), processor(server.pid)
            for _ in range(2):
                halves.append(asyncio.run(load(kind, arguments, info)))
                memory.append(resident(server.pid))
            whole = {
                "taken": np.concatenate([half["taken"] for half in halves]),
                "errors": [error for half in halves for error in half["errors"]],
                "busy": sum(half["busy"] for half in halves),
                "seconds": sum(half["seconds"] for half in halves),
            }
            named = f"{kind} {model}" if kind == "upload" else kind
            report(named, whole, memory, processor(server.pid) - served, time.process_time() - asked)
            failed += len(whole["errors"])
    finally:
        server.terminate()
        server.wait(30)
    return failed


async def warm(arguments: argparse.Namespace, info: dict[str, Any]) -> None:
    """One upload, so that the first process is there."""
    reader, writer = await asyncio.open_connection(info["host"], info["port"], limit=1 << 20)
    status, body = await ask(reader, writer, next(requests("upload", arguments, info)))
    writer.close()
    if status != 200:
        raise SystemExit(f"the server refused an upload: {body[:200]!r}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each kind")
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--limit", type=int, default=24, help="results of one search")
    parser.add_argument("--counts", action="store_true", help="also count the photos within every radius")
    parser.add_argument("--kinds", default="code,photo,upload", help="upload is done with every model")
    parser.add_argument("--kind", default="flat", help="of the index: flat, hnsw, ivf or mih")
    parser.add_argument("--models", default="vlad,network", help="vlad, network, or model folders")
    arguments = parser.parse_args()
    arguments.seconds /= 2  # memory is looked at between two halves
    print(f"{arguments.codes:,} codes, {arguments.at_once} at a time, {os.cpu_count()} cores")
    columns = "searches  per s    p50 ms  p99 ms  errors  busy   MB before, half, after   server ms  asker ms"
    print(f"{'kind':<17}{columns}")
    failed, kinds = 0, arguments.kinds.split(",")
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(arguments.models.split(",")):
            workspace = open_workspace(Path(folder) / f"ws{number}", create=True)
            made = Path(folder) / f"made{number}"
            model = (MADE[name](made) if name in MADE else Path(name)).absolute()
            (workspace / "model").symlink_to(model)
            write_codes(workspace / "codes.parquet", clustered(arguments.codes, open_encoder(model).space))
            build_index([], workspace, IndexOptions(kind=arguments.kind))
            failed += run(
                workspace, arguments, kinds if number == 0 else [kind for kind in kinds if kind == "upload"], name
            )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
