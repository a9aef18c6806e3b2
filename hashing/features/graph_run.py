"""A foreign ONNX graph that turns photos into vectors: what it wants, and how it is run. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hashpipe.common.distribution import install_advice
from hashpipe.common.environment import home_named
from hashpipe.common.errors import UserError

NAME, PREFIX = "onnx", "onnx:"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, where neither options nor metadata say
_TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(float16)": "float16"}


def open_graph(graph: bytes) -> Any:
    """A session of ONNX Runtime with one thread. Raises UserError without it and for what is no whole graph."""
    try:
        with home_named():
            import onnxruntime
    except ImportError:
        raise UserError(f"--backbone {PREFIX}FILE needs ONNX Runtime; {install_advice('onnx')}.") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # callers are threads already
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:160]
        raise UserError(
            f"the graph cannot be opened ({reason}); give one whole .onnx file, with its weights inside."
        ) from None


def wants(session: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """How photos reach the graph and which output is read, as plain values: what `reader` needs.

    given: `range`, `mean` and `std` where a user said so; else the graph's metadata say, else 1 and ImageNet's.
    Raises UserError for several inputs, one that takes no RGB photo, and outputs that are no vectors.
    """
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs)
        raise UserError(f"the graph has {len(inputs)} inputs ({names}) and must have one, the photo.")
    (one,) = inputs
    shape, kind = list(one.shape), _TYPES.get(one.type)
    layouts = [name for name, axis in (("NCHW", 1), ("NHWC", 3)) if len(shape) == 4 and shape[axis] == 3]
    if not layouts or kind is None:
        raise UserError(
            f"the graph's input {one.name} is {one.type} of {shape}; it must be photos (B,3,H,W) or (B,H,W,3), of "
            "uint8, float or float16."
        )
    layout = layouts[0]
    sides = shape[2:] if layout == "NCHW" else shape[1:3]
    fixed = [side for side in sides if isinstance(side, int)]
    if fixed and (len(fixed) < 2 or fixed[0] != fixed[1]):
        raise UserError(f"the graph takes photos of {sides[1]} x {sides[0]} pixels; it must be a square, or any size.")
    defaults: dict[str, Any] = {"range": 1.0, "mean": MEAN, "std": STD}
    said = {**defaults, **_metadata(session), **{name: one for name, one in given.items() if one is not None}}
    output = _output(session)
    return {"input": one.name, "dtype": kind, "layout": layout, "side": fixed[0] if fixed else None, **output} | {
        "range": float(said["range"]),
        "mean": [float(value) for value in said["mean"]],
        "std": [float(value) for value in said["std"]],
    }


def reader(session: Any, config: Mapping[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 (H,W,3) -> unit descriptor float32 (D,), which is not finite where the graph's output is not."""
    mean, std = np.array(config["mean"], np.float32), np.array(config["std"], np.float32)

    def run(pixels: np.ndarray) -> np.ndarray:
        x = pixels
        if config["dtype"] != "uint8":
            x = ((pixels.astype(np.float32) * (config["range"] / 255) - mean) / std).astype(config["dtype"])
        if config["layout"] == "NCHW":
            x = np.ascontiguousarray(x.transpose(2, 0, 1))
        (found,) = session.run([config["output"]], {config["input"]: x[None]})
        vector = _pooled(np.asarray(found[0], np.float32))
        return vector / max(float(np.linalg.norm(vector)), 1e-12)

    return run


def _pooled(found: np.ndarray) -> np.ndarray:
    """(D,) as it is; of maps (D,H,W) the mean, of tokens (N,D) the mean."""
    if found.ndim == 3:
        return found.mean((1, 2))
    return found.mean(0) if found.ndim == 2 else found


def _output(session: Any) -> dict[str, Any]:
    """The first output that is a vector for each photo, else the first of maps or tokens."""
    outputs = session.get_outputs()
    for rank in (2, 4, 3):
        for one in outputs:
            if len(one.shape) == rank and "float" in one.type:
                return {"output": one.name}
    found = ", ".join(f"{one.name} {one.shape}" for one in outputs)
    raise UserError(f"the graph's outputs ({found}) are no vectors, maps or tokens of numbers.")


def _metadata(session: Any) -> dict[str, Any]:
    """`range`, `mean` and `std` of the graph's metadata, where they are numbers in JSON."""
    found = {}
    for key, text in session.get_modelmeta().custom_metadata_map.items():
        if key in ("range", "mean", "std"):
            try:
                value = json.loads(text)
                found[key] = float(value) if key == "range" else [float(one) for one in value]
            except (ValueError, TypeError):
                continue
    return found
