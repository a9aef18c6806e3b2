"""One network, or several side by side: with `--backbone a,b` their unit descriptors stand after one another.

Every network is told apart by its place: weights of the second begin with `1.` in a model folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hashpipe.common.errors import UserError
from hashpipe.hashing.features import backbones, graph_run, timm_trunks, timm_weights
from hashpipe.hashing.features.backbones import MEAN, STD, Chosen, Trunk
from hashpipe.hashing.features.timm_trunks import PREFIX, TimmTrunk

BETWEEN = ","  # names, and weights, of several networks


class Trunks(nn.Module):
    """Networks side by side: images (B,3,H,W) -> unit descriptors (B,D), D the sum of theirs.

    Raises UserError for a network that takes images of one size only.
    """

    size, multiple, mean, std = None, 1, MEAN, STD

    def __init__(self, trunks: Sequence[Trunk]) -> None:
        super().__init__()
        for one in trunks:
            if one.size is not None:
                raise UserError(
                    f"{one.name} takes images of one size only and does not go with other networks; "
                    f"give --backbone {one.name} alone, or others."
                )
        self.name, self.pooling = BETWEEN.join(one.name for one in trunks), trunks[0].pooling
        self.trunks = list(trunks)
        self.net = nn.ModuleList(one.net for one in trunks)

    def forward(self, images: Tensor) -> Tensor:
        return functional.normalize(torch.cat([one(images) for one in self.trunks], 1), dim=1)

    def maps(self, images: Tensor) -> Tensor:
        """Raises UserError: maps of several networks have no common grid of channels."""
        raise UserError(f"{self.name} are several networks, whose feature maps are not joined; name one of them.")


AnyTrunk = Trunk | Trunks | TimmTrunk


def make_trunk(config: Mapping[str, Any]) -> AnyTrunk:
    """The network that a describer's config names, or several, without weights."""
    name, pooling = config["backbone"], config["pooling"]
    if name.startswith(PREFIX):
        return TimmTrunk(name, pooling, config)
    names = name.split(BETWEEN)
    return Trunk(name, pooling) if len(names) == 1 else Trunks([Trunk(one, pooling) for one in names])


def fill(trunk: AnyTrunk, state: Mapping[str, Tensor], source: str) -> None:
    """Copy weights into one network or several; raises UserError as `backbones.fill` does."""
    if isinstance(trunk, Trunk):
        backbones.fill(trunk, state, source)
        return
    if isinstance(trunk, TimmTrunk):
        timm_trunks.fill(trunk, state, source)
        return
    for number, one in enumerate(trunk.trunks):
        start = f"{number}."
        backbones.fill(one, {key[len(start) :]: state[key] for key in state if key.startswith(start)}, source)


def choose(backbone: str | None, weights: str | None) -> tuple[Chosen, ...]:
    """What the options come down to, one or several networks. Raises UserError; downloads nothing."""
    names = [one.strip() for one in (backbone or "").split(BETWEEN)]
    if names[0].startswith(graph_run.PREFIX):  # a path may hold commas
        return (Chosen(graph_run.NAME, str(backbone)),)
    if len(names) == 1:
        one = timm_weights.choose if names[0].startswith(PREFIX) else backbones.choose
        return (one(backbone, weights),)  # type: ignore[arg-type]
    if any(one.startswith(PREFIX) for one in names):
        raise UserError(f"--backbone {backbone}: a network of timm stands alone; name it without others.")
    if "" in names or "vlad" in names or len(set(names)) < len(names):
        raise UserError(f"--backbone {backbone} must name different networks, with commas between, and no vlad.")
    files = [weights] * len(names) if weights in (None, "imagenet") else str(weights).split(BETWEEN)
    if len(files) != len(names):
        raise UserError(
            f"--backbone {backbone} names {len(names)} networks and --weights {weights} {len(files)}; give weights for "
            "each, with commas between, or imagenet."
        )
    return tuple(
        backbones.choose(name, None if file is None else file.strip()) for name, file in zip(names, files, strict=True)
    )


def load(chosen: Sequence[Chosen], pooling: str | None) -> AnyTrunk:
    """The networks with their weights, frozen, in evaluation mode. Raises UserError where they do not fit."""
    if chosen[0].backbone.startswith(PREFIX):
        return timm_weights.load(chosen[0], pooling)
    found = [backbones.load_trunk(one, pooling) for one in chosen]
    return found[0] if len(found) == 1 else Trunks(found).requires_grad_(False).eval()
