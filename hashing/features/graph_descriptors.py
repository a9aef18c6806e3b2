"""A describer by a foreign ONNX graph: `--backbone onnx:FILE`. The model keeps the graph, so the file may go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hashpipe.common.errors import UserError
from hashpipe.common.files import sha256_file
from hashpipe.common.paths import expanded
from hashpipe.common.progress import Advance
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.features import graph_run, preprocess
from hashpipe.hashing.features.describer import Describer, Descriptors, decoded, gather, identity
from hashpipe.hashing.features.options import BackboneOptions

GRAPH = "graph"
_SIDE = 384  # pixels, of a graph that takes any size


def make(options: BackboneOptions) -> Describer:
    """Open the graph and try it. Raises UserError for a file that is none, and for what it does not take."""
    name = str(options.backbone).removeprefix(graph_run.PREFIX)
    path = expanded(name)
    if not path.is_file():
        raise UserError(f"--backbone {options.backbone}: {name} is no file; give an .onnx file.")
    if options.weights is not None or options.scales != (1.0,):
        raise UserError(f"--backbone {options.backbone} brings its weights and scale; omit --weights and --scales.")
    graph = path.read_bytes()
    try:
        given = {"range": options.graph_range, "mean": options.graph_mean, "std": options.graph_std}
        session = graph_run.open_graph(graph)
        config = graph_run.wants(session, given)
    except UserError as error:
        raise UserError(f"--backbone {options.backbone}: {error}") from None
    side = config.pop("side")
    if side and options.image_size not in (None, side):
        raise UserError(f"--backbone {options.backbone} takes photos of {side} pixels only; omit image_size.")
    config |= {"backbone": graph_run.NAME, "graph": path.name, "sha256": sha256_file(path)}
    config |= {"image_size": side or options.image_size or _SIDE, "square": bool(side)}
    tensors = {GRAPH: torch.from_numpy(np.frombuffer(graph, np.uint8).copy())}
    _try(graph_run.reader(session, config), config, str(options.backbone))
    return restore(config, tensors)


def restore(config: dict[str, Any], tensors: dict[str, Tensor]) -> Describer:
    """A graph from what a model folder kept."""
    run = graph_run.reader(graph_run.open_graph(tensors[GRAPH].numpy().tobytes()), config)
    side, square = int(config["image_size"]), bool(config["square"])

    def compute(images: ImageList, advance: Advance) -> Descriptors:
        def one(row: int) -> np.ndarray:
            return run(preprocess.pixels(preprocess.fit(lambda most: images.open(row, most), side, square)))

        values = []
        for _, value in decoded(images, one):
            advance(1)
            values.append(value)
        return gather(values)

    return Describer(config, tensors, identity(config, tensors), compute)


def _try(run: Callable[[np.ndarray], np.ndarray], config: dict[str, Any], name: str) -> None:
    """Raise UserError where noise as large as a photo gives no descriptor, before thousands are read."""
    side = int(config["image_size"])
    shape = (side, side, 3) if config["square"] else (side * 3 // 4, side, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    try:
        found = run(noise)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise UserError(
            f"--backbone {name} does not take a photo of {shape[1]} x {shape[0]} pixels ({reason})."
        ) from None
    if not np.isfinite(found).all():
        raise UserError(f"--backbone {name} gives values that are not finite; export it again, in float32.")
