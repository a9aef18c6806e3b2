"""Where the state of learning stays: with a GPU where that pays and the objective was written for it."""

from __future__ import annotations

import torch

from hashpipe.hashing.features import backbones
from hashpipe.hashing.training import distributed
from hashpipe.hashing.training.finetuned_network import Network
from hashpipe.hashing.training.heads import head_class
from hashpipe.hashing.training.objectives.base import Objective
from hashpipe.hashing.training.options import TrainOptions
from hashpipe.hashing.training.recipes import head_of

MANY = 50_000  # photos; of fewer a step is so small that a GPU waits for its orders


def device_of(
    options: TrainOptions, objective: type[Objective], photos: int, network: Network | None, maps: bool
) -> torch.device:
    """The device of a head that learns from so many photos, with a network or from maps.

    With `--device auto` a GPU is taken for many photos, and beside a network that learns there; `--device cuda` takes
    it for any number.
    """
    cpu = torch.device("cpu")
    if maps or distributed.count() > 1 or not objective.on_device or not head_class(head_of(options)).on_device:
        return cpu
    if network is not None:
        return network.device
    wanted = options.describe.device
    if wanted == "auto" and photos < MANY:
        return cpu
    return backbones.pick_device(wanted)
