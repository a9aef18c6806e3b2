"""Which runtime computes the codes: the exported graph beside the model, and how often its bits differ from torch's."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.distribution import install_advice
from hashpipe.common.errors import UserError
from hashpipe.common.files import read_json, sha256_file, write_json
from hashpipe.common.progress import say
from hashpipe.hashing.encoding import engines
from hashpipe.hashing.encoding.engines import RUNTIMES, Engine
from hashpipe.hashing.features.preprocess import Open
from hashpipe.hashing.models.model_folder import StoredModel
from hashpipe.pairgen.photos.load import UnreadablePhoto

MOST_FLIPS = 1e-3  # share of bits; a runtime that differs more from torch is never chosen by itself
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA, the same under WSL, AMD
# descriptors with an engine of their own: its name, and what they are
OWN = {"vlad": ("vlad", "VLAD of SIFT"), "onnx": ("graph", "a foreign ONNX graph")}
GRAPHS = ("onnx", "openvino")  # runtimes that read the exported graph
# photos; on those of many shapes OpenVINO is half as fast again, once it has met the shapes (some 15 ms for each)
MANY = 2000


@dataclass(frozen=True)
class Flips:
    """How a runtime differs from torch on photos, or generated pictures: share of bits, largest gap of an output."""

    version: str
    pictures: str
    photos: int
    bit_flip_rate: float
    most_apart: float


def graph_path(model: StoredModel, bits: int) -> Path:
    """Where the exported graph of a code length is kept, in the model's own folder."""
    return model.folder / "exported" / model.fingerprint / f"hash-{bits}.onnx"


def known_flips(model: StoredModel, bits: int) -> dict[str, Flips]:
    """What was measured of each runtime on the graph as it lies there; {} without a whole graph."""
    graph = graph_path(model, bits)
    record = graph.with_suffix(".json")
    if not graph.is_file() or not record.is_file():
        return {}
    try:
        found: dict[str, Any] = read_json(record)
        if found["graph"] != sha256_file(graph):
            return {}
        return {name: Flips(**one) for name, one in found["runtimes"].items()}
    except (UserError, KeyError, TypeError):
        return {}


def prepare(model: StoredModel, bits: int, photos: Sequence[Open], again: bool = False) -> dict[str, Flips]:
    """Export the graph where it is missing and measure, on these photos, every installed runtime that reads it.

    A measurement is done once for each version of a runtime, or `again`; on generated pictures where no photo is
    readable. Raises UserError where the model has no ONNX form or the extra is missing, OSError where nothing can be
    written.
    """
    names = [name for name in GRAPHS if engines.installed(name)]
    known = known_flips(model, bits)
    missing = [name for name in names if again or name not in known or known[name].version != _version(name)]
    if known and not missing:
        return known
    graph = graph_path(model, bits)
    if not known:
        _export(model, bits)
    known = {name: one for name, one in known.items() if name in names}
    known |= _measured(model, bits, missing, photos)
    found = {"graph": sha256_file(graph), "runtimes": {name: asdict(one) for name, one in known.items()}}
    write_json(graph.with_suffix(".json"), found)
    return known


def _export(model: StoredModel, bits: int) -> None:
    """Write the graph beside the model. Raises UserError for what has no graph, before torch is loaded."""
    if model.describer["backbone"] in OWN:
        raise UserError(
            f"{model.folder} describes photos by {OWN[model.describer['backbone']][1]}, which is not a network of "
            "hashpipe and cannot be exported to ONNX; "
            "train with --backbone mobilenet_v2 or another network to export one."
        )
    if model.describer.get("scales", [1.0]) != [1.0]:
        raise UserError(
            f"{model.folder} describes photos at several scales, which cannot be exported; train without --scales."
        )
    from hashpipe.hashing.encoding.onnx_export import write_graph

    say(f"exporting the network of {model.folder} to ONNX, once")
    write_graph(model, bits, graph_path(model, bits))


def _measured(model: StoredModel, bits: int, names: Sequence[str], photos: Sequence[Open]) -> dict[str, Flips]:
    """Compare runtimes with torch, at the model's thresholds."""
    from hashpipe.hashing.features.threads import one_torch_thread

    right, t, found = engines.torch_engine(model, bits, "cpu"), model.thresholds(bits), {}
    pictures = _pictures(right, photos)
    kind = "photos" if pictures else "generated pictures"
    pictures = pictures or _pictures(right, generated())
    with one_torch_thread():
        wanted = np.concatenate([right.run(picture) for picture in pictures])
    for name in names:
        try:
            run = engine(model, bits, name).run
        except UserError as error:  # installed and broken: the others still serve
            say(f"{name} is left out: {error}")
            continue
        u = np.concatenate([run(picture) for picture in pictures])
        flipped, apart = float(((u >= t) != (wanted >= t)).mean()), float(np.abs(u - wanted).max())
        found[name] = Flips(_version(name), kind, len(pictures), flipped, apart)
    return found


def choose(model: StoredModel, bits: int, wanted: str, photos: int = 1) -> str:
    """The runtime to use: `wanted`, or for auto the fastest one for so many photos that is installed and known to flip
    few bits, else torch.
    """
    if model.describer["backbone"] in OWN:
        return OWN[model.describer["backbone"]][0]
    if wanted != "auto":
        if wanted not in RUNTIMES:
            raise UserError(f"--runtime {wanted} is unknown; choose auto or one of {', '.join(RUNTIMES)}.")
        return wanted
    known = known_flips(model, bits)
    order = GRAPHS if photos < MANY else GRAPHS[::-1]
    fit = [name for name in order if name in known and engines.installed(name)]
    return next((name for name in fit if known[name].bit_flip_rate <= MOST_FLIPS), "torch")


def engine(
    model: StoredModel, bits: int, name: str, device: str = "auto", threads: int = 1, precision: str = "float32"
) -> Engine:
    """The engine of a runtime; graph runtimes export the graph first where it is missing."""
    if name == "vlad":
        return engines.vlad_engine(model, bits)
    if name == "graph":
        return engines.graph_engine(model, bits)
    if name == "torch":
        return engines.torch_engine(model, bits, device, precision)
    if not engines.installed(name):
        raise UserError(
            f"--runtime {name} needs the package {engines.PACKAGES[name]}; "
            f"{install_advice('onnx')}, or use --runtime torch."
        )
    graph = graph_path(model, bits)
    if not graph.is_file():
        _export(model, bits)
    if name == "onnx":
        return engines.onnx_engine(model, graph)
    return engines.openvino_engine(model, graph, threads)


def can_export() -> bool:
    """Whether the extra onnx is there: what writes a graph and something to run it."""
    return importlib.util.find_spec("onnx") is not None and any(engines.installed(name) for name in GRAPHS)


def gpu_present() -> bool:
    """Whether torch sees a GPU; torch is loaded only where the system has a device that it could be."""
    if sys.platform == "linux" and not any(Path(device).exists() for device in _GPU_DEVICES):
        return False
    import torch

    return torch.cuda.is_available()


def _version(name: str) -> str:
    return version(engines.PACKAGES[name])


def _pictures(right: Engine, photos: Sequence[Open]) -> list[np.ndarray]:
    """Pixels uint8 (1,H,W,3) of those that can be read."""
    found = []
    for load in photos:
        try:
            found.append(np.array(right.picture(load))[None])
        except (UnreadablePhoto, OSError):
            continue
    return found


def generated(count: int = 32) -> list[Open]:
    """Pictures of smooth noise in several shapes, for measuring where there are no photos."""
    from PIL import Image

    def picture(number: int) -> Open:
        generator = np.random.default_rng(number)
        width, height = ((640, 480), (480, 640), (600, 400), (512, 512))[number % 4]
        coarse = generator.integers(0, 256, (6 + number, 8 + number, 3), dtype=np.uint8)
        whole = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)

        def load(side: int | None) -> Image.Image:
            shown = whole.copy()
            if side:
                shown.thumbnail((side, side))
            return shown

        return load

    return [picture(number) for number in range(count)]
