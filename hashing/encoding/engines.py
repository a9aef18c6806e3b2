"""What computes real outputs from pixels: the network under torch, ONNX Runtime or OpenVINO, or VLAD of SIFT.

Every engine gives a photo the same outputs whatever else is encoded beside it: one photo per call on a processor, one
thread each, several calls side by side. Only a GPU takes photos in batches.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hashpipe.common.distribution import install_advice
from hashpipe.common.environment import home_named
from hashpipe.common.errors import UserError
from hashpipe.hashing.features import preprocess
from hashpipe.hashing.features.preprocess import Open
from hashpipe.hashing.models.model_folder import StoredModel

RUNTIMES = ("onnx", "openvino", "torch")
PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime", "torch": "torch"}


@dataclass(frozen=True)
class TorchNetwork:
    """A network under torch in two parts: `seen`, uint8 tensor (B,H,W,3) on its device -> what the head reads there;
    `outputs`, what the head reads, as an array -> u float32 (B,k). side: the longest in pixels of its pictures.
    """

    device: Any
    seen: Callable[[Any], Any]
    outputs: Callable[[np.ndarray], np.ndarray]
    side: int


@dataclass(frozen=True)
class Engine:
    """One way to compute outputs.

    picture  opens a photo as this engine wants it
    run      uint8 (B,H,W,3) -> u float32 (B,k), rows of nan where a photo has nothing to describe
    about    runtime and version, for the codes file
    gpu      where photos are computed in batches on a GPU; else one photo is a call, several threads at once
    """

    name: str
    picture: Callable[[Open], Image.Image]
    run: Callable[[np.ndarray], np.ndarray]
    about: dict[str, Any]
    gpu: TorchNetwork | None = None


def vlad_engine(model: StoredModel, bits: int) -> Engine:
    """VLAD of SIFT with the model's codebook and head; needs no network runtime."""
    from hashpipe.pairgen.matching import vlad

    config, codebook = model.describer, model.describer_arrays["codebook"]
    side, most = int(config["image_size"]), int(config["max_features"])

    def run(pixels: np.ndarray) -> np.ndarray:
        rows = []
        for picture in pixels:
            value = vlad.encode(vlad.sift(Image.fromarray(picture), most), codebook)
            rows.append(model.head(bits)(value[None])[0] if value.any() else np.full(bits, np.nan, np.float32))
        return np.array(rows, np.float32).reshape(len(pixels), bits)

    return Engine("vlad", lambda load: load(side), run, {"runtime": "vlad"})


def graph_engine(model: StoredModel, bits: int) -> Engine:
    """The foreign graph that the model keeps, and its head."""
    from hashpipe.hashing.features import graph_run

    config, head = model.describer, model.head(bits)
    read = graph_run.reader(graph_run.open_graph(model.describer_arrays["graph"].tobytes()), config)

    def run(pixels: np.ndarray) -> np.ndarray:
        seen = np.stack([read(picture) for picture in pixels])
        return np.where(np.isfinite(seen).all(1, keepdims=True), head(seen), np.float32(np.nan))

    return Engine("graph", network_picture(model), run, {"runtime": "onnx", "version": version("onnxruntime")})


def torch_engine(model: StoredModel, bits: int, device: str = "auto", precision: str = "float32") -> Engine:
    """The network under torch, on a GPU in float32 or bf16."""
    import torch

    network = torch_network(model, bits, device, precision)
    place = network.device

    def run(pixels: np.ndarray) -> np.ndarray:
        return network.outputs(network.seen(torch.from_numpy(pixels).to(place)).cpu().numpy())

    about = {"runtime": "torch", "version": torch.__version__, "device": place.type}
    if place.type == "cpu":
        if precision != "float32":
            raise UserError(f"--precision {precision} is for a GPU, and torch finds none; omit it.")
        return Engine("torch", network_picture(model), run, about)
    about |= {} if precision == "float32" else {"precision": precision}
    return Engine("torch", network_picture(model), run, about, network)


def torch_network(model: StoredModel, bits: int, device: str = "auto", precision: str = "float32") -> TorchNetwork:
    """A trunk keeps its feature map while it runs: each call has one, all share weights."""
    import torch

    from hashpipe.hashing.features import backbones, trunks
    from hashpipe.hashing.features.network_descriptors import described, on_device

    config, place = model.describer, backbones.pick_device(device)
    weights = {key: torch.from_numpy(value) for key, value in model.describer_arrays.items()}
    first = trunks.make_trunk(config)
    trunks.fill(first, weights, "the model")
    first = on_device(first, place)
    shared = first.net.state_dict()

    def twin() -> Any:
        made = trunks.make_trunk(config)
        made.net.load_state_dict(shared, strict=False, assign=True)
        return made.requires_grad_(False).eval()

    spare, head, scales = _Spare([first], twin), model.head(bits), config.get("scales", [1.0])

    def seen(pixels: Any) -> Any:
        with spare.one() as trunk:
            return described(trunk, pixels, scales, head.reads, precision)

    return TorchNetwork(place, seen, head, int(config["image_size"]))


def onnx_engine(model: StoredModel, graph: Path) -> Engine:
    """An exported graph under ONNX Runtime, without torch."""
    run = onnx_run(graph)
    return Engine("onnx", network_picture(model), run, {"runtime": "onnx", "version": version("onnxruntime")})


def onnx_run(graph: Path) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 (B,H,W,3) -> u float32 (B,k) by ONNX Runtime, one thread for each caller."""
    onnxruntime = _extra("onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(["u"], {"image": pixels})[0]


def openvino_engine(model: StoredModel, graph: Path, threads: int) -> Engine:
    """An exported graph under OpenVINO, without torch."""
    run = openvino_run(graph, threads)
    about = {"runtime": "openvino", "version": version("openvino")}
    return Engine("openvino", network_picture(model), run, about)


def openvino_run(graph: Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 (B,H,W,3) -> u float32 (B,k) by OpenVINO, `threads` callers side by side on one thread each.

    In float32: left alone, OpenVINO computes in bfloat16 where the processor has it, and bits flip. A shape of picture
    that it has not seen yet costs it about as much again as the picture itself; ONNX Runtime takes all shapes alike.
    """
    openvino = _extra("openvino")
    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads}
    compiled = core.compile_model(core.read_model(str(graph)), "CPU", settings)
    requests = _Spare([], compiled.create_infer_request)

    def run(pixels: np.ndarray) -> np.ndarray:
        with requests.one() as request:
            return request.infer({"image": pixels}, share_inputs=True)["u"].copy()

    return run


def installed(runtime: str) -> bool:
    """Whether a runtime's package is there; nothing is imported."""
    return importlib.util.find_spec(PACKAGES[runtime]) is not None


def network_picture(model: StoredModel) -> Callable[[Open], Image.Image]:
    """How this model's network wants its photos."""
    config = model.describer
    square = config.get("square", config["backbone"].startswith(("vit_", "maxvit")))
    return lambda load: preprocess.fit(load, int(config["image_size"]), square, int(config.get("multiple", 1)))


class _Spare:
    """Things that serve one caller at a time; made when all are in use, and kept."""

    def __init__(self, there: list[Any], make: Callable[[], Any]) -> None:
        self._there, self._make = there, make

    @contextlib.contextmanager
    def one(self) -> Iterator[Any]:
        try:
            mine = self._there.pop()
        except IndexError:
            mine = self._make()
        try:
            yield mine
        finally:
            self._there.append(mine)


def _extra(runtime: str) -> Any:
    try:
        with home_named():
            return importlib.import_module(PACKAGES[runtime])
    except Exception as error:  # a package that is broken, or that does not like this account
        raise UserError(
            f"--runtime {runtime} needs {PACKAGES[runtime]} ({error}); "
            f"{install_advice('onnx')}, or use --runtime torch."
        ) from None
