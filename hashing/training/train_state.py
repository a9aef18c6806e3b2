"""All that changes while one head is learnt, as tensors: what a checkpoint holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hashpipe.hashing.features.stored_maps import Maps
from hashpipe.hashing.training.finetuned_network import Network
from hashpipe.hashing.training.heads.base import TrainedHead
from hashpipe.hashing.training.objectives.base import Objective
from hashpipe.hashing.training.sampler import Sampler


@dataclass
class TrainState:
    """x float32 (N,d): descriptors in PCA coordinates; `noise` draws what is added to them, `generator` the batches.

    maps: of the same photos, for a head that reads them, or what the head has `reduced` of them; x are then the means
    of the maps.
    """

    x: Tensor
    head: TrainedHead
    objective: Objective
    sampler: Sampler
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    generator: np.random.Generator
    noise: torch.Generator
    network: Network | None = None  # one that learns too, so that x changes
    maps: Maps | Tensor | None = None

    def __post_init__(self) -> None:
        self.deviation = self.x.std(0, correction=0)  # of each coordinate at the start, the unit of noise

    @property
    def device(self) -> torch.device:
        """Where x, the head and the objective are; rows, pairs and labels of a batch are with the processor."""
        return self.x.device

    @property
    def parameters(self) -> list[Tensor]:
        """All that the optimiser changes."""
        return [one for group in self.optimiser.param_groups for one in group["params"]]

    @property
    def shared(self) -> list[Tensor]:
        """Those whose gradient each of several processes has a part of; of the others each has all of it."""
        own = [*self.objective.parameters(), *(self.head.parameters() if self.head.whole else ())]
        return [one for one in self.parameters if all(one is not other for other in own)]

    @property
    def kept(self) -> list[Tensor]:
        """What early stopping keeps of the best step: all that the optimiser changes, and what else the head holds."""
        return [
            *self.parameters,
            *(one for one in self.head.state_dict(keep_vars=True).values() if not one.requires_grad),
        ]

    def seen(self, rows: Tensor | None = None) -> Tensor | Maps:
        """What the head reads of some photos, or of all; maps are not read yet."""
        if isinstance(self.maps, Maps):
            return self.maps if rows is None else self.maps.subset(rows.numpy())
        found = self.x if self.maps is None else self.maps
        return found if rows is None else found[rows.to(self.device)]

    def outputs(self, rows: Tensor | None = None) -> Tensor:
        """u float32 (N,k) of some photos, or of all, without gradient."""
        return self.head.outputs(self.seen(rows))

    def save(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors by name, and what is no tensor."""
        tensors = {"noise": self.noise.get_state()}
        for name, module in self._modules():
            tensors |= {f"{name}.{key}": value.clone() for key, value in module.state_dict().items()}
        tensors |= {name: torch.from_numpy(getattr(self.sampler, name).copy()) for name in ("edges", "hard")}
        if self.network is not None:
            tensors |= {f"network{n}": one.detach().clone() for n, one in enumerate(self.network.parameters)}
            tensors["x"] = self.x
        for n, one in self.optimiser.state_dict()["state"].items():
            tensors |= {f"moment{n}.{name}": value.clone() for name, value in one.items()}
        rates = [group["lr"] for group in self.optimiser.param_groups]
        return tensors, {"generator": self.generator.bit_generator.state, "rates": rates}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any], step: int) -> None:
        """Put everything back as it was when `save` was called after `step` steps."""
        for name, module in self._modules():
            start = f"{name}."
            module.load_state_dict({key[len(start) :]: tensors[key] for key in tensors if key.startswith(start)})
        if self.network is not None:
            with torch.no_grad():
                for n, one in enumerate(self.network.parameters):
                    one.copy_(tensors[f"network{n}"])
            self.x = tensors["x"].to(self.device)
        self.noise.set_state(tensors["noise"])
        self.sampler.set_edges(tensors["edges"].numpy())
        self.sampler.hard = tensors["hard"].numpy()
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("moment"):
                number, name = key.removeprefix("moment").split(".")
                moments.setdefault(int(number), {})[name] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        for group, rate in zip(self.optimiser.param_groups, facts["rates"], strict=True):
            group["lr"] = rate
        self.schedule.last_epoch = step
        self.generator.bit_generator.state = facts["generator"]

    def _modules(self) -> tuple[tuple[str, nn.Module], ...]:
        return ("head", self.head), ("objective", self.objective)
