"""The whole hash network as one ONNX file: pixels in, real outputs out, all that a user must know in its metadata."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hashpipe.common.distribution import install_advice, installed_version
from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path
from hashpipe.hashing.encoding.engines import torch_engine
from hashpipe.hashing.features import network_descriptors, preprocess, trunks
from hashpipe.hashing.models.heads import FORMULAS
from hashpipe.hashing.models.model_folder import StoredModel

OPSET = 17
CLOSE = 1e-2  # of the outputs' spread: far above rounding, far below what a wrong graph gives
_SHAPES = ((96, 128), (128, 96), (64, 64), (160, 96))  # pixels, where a network takes any


class HashNetwork(nn.Module):
    """image uint8 (B,H,W,3), RGB -> u float32 (B,k): scaling, network, pooling and hash layer."""

    def __init__(self, model: StoredModel, bits: int) -> None:
        super().__init__()
        config = model.describer
        self.trunk = trunks.make_trunk(config)
        weights = {key: torch.from_numpy(value) for key, value in model.describer_arrays.items()}
        trunks.fill(self.trunk, weights, "the model")
        head = model.head(bits)
        self.formula = FORMULAS[head.kind]
        for name, value in head.arrays.items():
            self.register_buffer(name, torch.from_numpy(value))

    def forward(self, image: Tensor) -> Tensor:
        arrays = {name: getattr(self, name) for name in self.formula.arrays}
        seen = network_descriptors.seen(
            self.trunk, network_descriptors.normalised(image, self.trunk), self.formula.reads
        )
        u: Tensor = self.formula.compute(arrays, seen, torch)
        return u


def write_graph(model: StoredModel, bits: int, path: Path) -> None:
    """Write the network as ONNX, whole or not at all, checked against torch on pictures of several shapes.

    Raises UserError for a network that cannot be exported and without the extra onnx.
    """
    try:
        import onnx
    except ImportError:
        raise UserError(f"Export to ONNX needs the package onnx; {install_advice('onnx')}.") from None
    network = HashNetwork(model, bits).eval().requires_grad_(False)
    side, multiple = network.trunk.size, network.trunk.multiple
    shapes = [(preprocess.length(height, multiple), preprocess.length(width, multiple)) for height, width in _SHAPES]
    pictures = [_noise(shape) for shape in ([(side, side)] if side else shapes)]
    wanted = torch_engine(model, bits, "cpu").run
    problem = ""
    with atomic_path(path) as temporary:
        for dynamo in (False, True):  # tracing takes a second and nearly every network; torch means to drop it one day
            try:
                _export(network, pictures[0], multiple if side is None else 0, dynamo, temporary)
            except Exception as error:  # whatever the two exporters raise, the other one is tried
                problem = (str(error).splitlines() or [type(error).__name__])[0]
                continue
            graph = onnx.load(str(temporary))
            onnx.helper.set_model_props(graph, {key: _text(value) for key, value in metadata(model, bits).items()})
            graph.doc_string = "Binary codes of photos: bit i is 1 where u[i] >= thresholds[i]; see the metadata."
            onnx.save(graph, str(temporary))
            problem = _difference(_reference(temporary), wanted, pictures)
            if not problem:
                return
        raise UserError(
            f"{model.describer['backbone']} cannot be exported to ONNX ({problem[:150]}); use --runtime torch."
        )


def metadata(model: StoredModel, bits: int) -> dict[str, Any]:
    """What travels in the file: who made it, how photos are read, how outputs become codes (docs/onnx.md)."""
    side, trunk = int(model.describer["image_size"]), trunks.make_trunk(model.describer)
    square, multiple = trunk.size, trunk.multiple
    least = f"{preprocess.length(0, multiple)} (sides rounded{f' to multiples of {multiple}' if multiple > 1 else ''})"
    size = (
        f"then Pillow's resize to {side} x {side} with BICUBIC"
        if square
        else (
            f"then, where it is shorter, enlarge in proportion so that the longest side is {side}, at most "
            f"{preprocess.MOST_ENLARGED:g} times, and let no side be below {least}, "
            "with Pillow's resize and BICUBIC"
        )
    )
    return {
        "hashpipe": installed_version(),
        "model": model.fingerprint,
        "bits": bits,
        "thresholds": [float(value) for value in model.thresholds(bits)],
        "input": "image: uint8 (batch, height, width, 3), RGB, 0..255; scaling to network units is part of the graph",
        "preprocessing": f"with Pillow: of a JPEG, Image.draft('RGB', ({side}, {side})) before decoding; convert to "
        "8-bit RGB, transparent parts upon (128, 128, 128); turn upright by EXIF; where longer, shrink in proportion "
        f"so that the longest side is {side} (sides rounded, at least 1) with resize, LANCZOS and reducing_gap=3.0; "
        f"{size}",
        "pillow": version("pillow"),
        "image_size": side,
        "square": int(square is not None),
        "multiple": multiple,
        "output": f"u: float32 (batch, {bits})",
        "code": "bit i = u[i] >= thresholds[i]; packed least significant bit first: numpy.packbits(bitorder='little')",
    }


def copy_with_metadata(graph: Path, model: StoredModel, bits: int, target: Path) -> None:
    """Copy an exported graph, which may be of an earlier version, with the metadata of this one."""
    import onnx

    copied = onnx.load(str(graph))
    onnx.helper.set_model_props(copied, {key: _text(value) for key, value in metadata(model, bits).items()})
    onnx.save(copied, str(target))


def _export(network: nn.Module, picture: np.ndarray, multiple: int, dynamo: bool, path: Path) -> None:
    """multiple: pixels that both sides may be a multiple of; 0 where they are those of the picture."""
    axes: dict[int, str] = {0: "batch", **({1: "height", 2: "width"} if multiple else {})}
    image = torch.from_numpy(np.repeat(picture, 2, axis=0))
    keywords: dict[str, Any] = {"input_names": ["image"], "output_names": ["u"], "dynamo": dynamo}
    if dynamo:
        each = {0: 1, 1: multiple, 2: multiple}
        sizes = {axis: torch.export.Dim(name) * each[axis] for axis, name in axes.items()}
        keywords |= {"dynamic_shapes": {"image": sizes}}
        keywords |= {"external_data": False, "verbose": False}
    else:
        keywords |= {"dynamic_axes": {"image": axes, "u": {0: "batch"}}, "opset_version": OPSET}
    fused = torch.backends.mha.get_fastpath_enabled()  # transformers' fused attention has no ONNX form
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(network, (image,), str(path), **keywords)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _reference(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The graph under ONNX Runtime, else under OpenVINO, else under onnx's own slow evaluator."""
    from hashpipe.hashing.encoding import engines

    if engines.installed("onnx"):
        return engines.onnx_run(path)
    if engines.installed("openvino"):
        return engines.openvino_run(path, 1)
    from onnx.reference import ReferenceEvaluator

    evaluator: Any = ReferenceEvaluator(str(path))
    return lambda pixels: evaluator.run(["u"], {"image": pixels})[0]


def _difference(
    run: Callable[[np.ndarray], np.ndarray], wanted: Callable[[np.ndarray], np.ndarray], pictures: Sequence[np.ndarray]
) -> str:
    """What is wrong with a graph, "" where it gives what torch gives."""
    for picture in pictures:
        try:
            found = run(picture)
        except Exception as error:
            return f"a picture of {picture.shape[2]} x {picture.shape[1]}: {str(error).splitlines()[0]}"
        right = wanted(picture)
        far = float(np.abs(found - right).max()) / max(float(right.std()), 1e-6)
        if not far <= CLOSE:
            return f"outputs are off by {far:.2g} of their spread for {picture.shape[2]} x {picture.shape[1]} pixels"
    return ""


def _noise(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(shape[0]).integers(0, 256, (1, *shape, 3), dtype=np.uint8)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
