"""The describer that options ask for or that a model folder kept: a network with pooling, or VLAD of SIFT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.features import backbones, graph_descriptors, graph_run, network_descriptors, trunks
from hashpipe.hashing.features.describer import Describer, Descriptors
from hashpipe.hashing.features.options import BackboneOptions

__all__ = ["Describer", "Descriptors", "make_describer", "restore_describer"]


def make_describer(
    options: BackboneOptions, training: ImageList, cache: Path | None = None, precision: str = "float32"
) -> Describer:
    """Load the network and its weights, or learn the VLAD codebook on the training images.

    precision: float32 or bf16, which counts on a GPU alone.

    Raises UserError for an unknown network, absent or unfit weights and an absent device.
    """
    device = backbones.pick_device(options.device)
    chosen = trunks.choose(options.backbone, options.weights)
    if chosen[0].backbone == "vlad":
        from hashpipe.hashing.features import vlad_descriptors

        return vlad_descriptors.make(options, training, cache)
    if chosen[0].backbone == graph_run.NAME:
        return graph_descriptors.make(options)
    return network_descriptors.make(options, chosen, device, precision)


def restore_describer(
    config: dict[str, Any], tensors: dict[str, Tensor], device: str = "auto", precision: str = "float32"
) -> Describer:
    """A describer from what a model folder kept; precision bf16 counts on a GPU alone."""
    if config["backbone"] == "vlad":
        from hashpipe.hashing.features import vlad_descriptors

        return vlad_descriptors.restore(config, tensors)
    if config["backbone"] == graph_run.NAME:
        return graph_descriptors.restore(config, tensors)
    return network_descriptors.restore(config, tensors, device, precision)
