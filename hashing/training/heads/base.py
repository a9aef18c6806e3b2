"""The interface of a head that learns: descriptors in PCA coordinates, or maps, to outputs, one per bit."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hashpipe.hashing.features.stored_maps import Maps
from hashpipe.hashing.models.heads import FORMULAS, Head
from hashpipe.hashing.training.pca import Pca

_FOR_EACH_UNIT = ("hidden_bias", "scale", "shift")


class TrainedHead(nn.Module):
    """A head whose parameters are named as the arrays of its formula; `inputs` are those that multiply the descriptor.

    Made from the weights float32 (d,k) of a linear layer, where learning starts; a head that reads maps is also given
    the PCA of their means.

    whole     the loss looks into the head, or its outputs depend on the whole batch: of several processes each computes
              all of a batch
    on_device whether it makes all its tensors where its parameters are
    multiple  code lengths are multiples of it

    bit_weights float32 (k,) are set when learning is done, by objectives that learn them.
    """

    kind: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]
    whole: ClassVar[bool] = False
    on_device: ClassVar[bool] = False
    multiple: ClassVar[int] = 1
    bias: Tensor
    mean: Tensor

    def __init__(self, start: np.ndarray, pca: Pca | None = None) -> None:
        super().__init__()
        self.bit_weights: np.ndarray | None = None
        self.bias = nn.Parameter(torch.zeros(start.shape[1]))
        self.register_buffer("mean", torch.zeros(len(start)), persistent=False)  # PCA coordinates are centred

    def arrays(self) -> dict[str, Tensor]:
        """The arrays of the formula, in PCA coordinates."""
        return {name: getattr(self, name) for name in FORMULAS[self.kind].arrays}

    @property
    def matrices(self) -> list[Tensor]:
        """The weights that learn, without biases and what else there is for each unit."""
        return [one for name, one in self.named_parameters() if one.dim() > 1 and name not in _FOR_EACH_UNIT]

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """x float32 (B,d) -> u float32 (B,k); noise float32 (B,d) is added to x."""
        u: Tensor = FORMULAS[self.kind].compute(self.arrays(), x if noise is None else x + noise, torch)
        return u

    @torch.no_grad()
    def outputs(self, x: Tensor | Maps) -> Tensor:
        """u float32 (N,k) without gradient, as the finished head gives them; maps are read part by part."""
        self.eval()
        parts = (torch.from_numpy(one).float() for one in x.stored_parts()) if isinstance(x, Maps) else (x,)
        u = torch.cat([self(part) for part in parts])
        self.train()
        return u

    @torch.no_grad()
    def centre(self, x: Tensor | Maps) -> None:
        """Move each bit's bias so that half of the photos x lie on either side of 0.

        0 lies midway between two neighbouring outputs, so that no photo lies on a bit's threshold.
        """
        self.bias.zero_()
        self.bias.copy_(-middles(self.outputs(x)))

    @torch.no_grad()
    def interpolate(self, start: dict[str, Tensor], weight: float) -> None:
        """Move the parameters the share `weight` of the way back to what they were at the start.

        Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022 (WiSE-FT). The bias is set by centring.
        """
        for name, value in self.named_parameters():
            value.lerp_(start[name], weight)

    def folded(self, pca: Pca) -> Head:
        """The head on descriptors themselves: the PCA goes into the arrays that multiply its coordinates."""
        found = {name: value.detach().numpy() for name, value in self.arrays().items()}
        found |= {name: np.tensordot(pca.axes, found[name], 1).astype(np.float32) for name in self.inputs}
        return Head(self.kind, {**found, "mean": pca.mean})


class MapHead(TrainedHead):
    """A head that reads maps, with a linear layer of weights float32 (d,k) on PCA coordinates of what it pools."""

    inputs = ("weight",)
    axes: Tensor

    def __init__(self, start: np.ndarray, pca: Pca) -> None:
        super().__init__(start)
        self.mean = torch.from_numpy(pca.mean)
        self.register_buffer("axes", torch.from_numpy(pca.axes), persistent=False)
        self.weight = nn.Parameter(torch.from_numpy(np.array(start, np.float32)))
        self.make_own()

    def make_own(self) -> None:
        """Make the parameters that a head has besides."""

    def arrays(self) -> dict[str, Tensor]:
        """The arrays of the formula, on maps themselves: the PCA comes after pooling."""
        return {**super().arrays(), "weight": self.axes @ self.weight}

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """maps float32 (B,C,g,g), or what is `reduced` of them, -> u float32 (B,k).

        noise float32 (B,d) is added to PCA coordinates of the pooled.
        """
        u = self.outputs_of(self.read(x))
        return u if noise is None else self.moved(u, noise)

    def reduced(self, maps: Tensor) -> Tensor:
        """What the head reads of maps (B,C,g,g) that learning does not change, of fewer axes; the maps by default."""
        return maps

    def read(self, x: Tensor) -> Tensor:
        """What is `reduced` of maps, whether x are maps or that already."""
        return self.reduced(x) if x.dim() == 4 else x

    @torch.no_grad()
    def reduced_once(self, maps: Maps) -> Maps | Tensor:
        """What is `reduced` of all maps, in memory, so that no step does it again; else the maps."""
        if type(self).reduced is MapHead.reduced:
            return maps
        return torch.cat([self.reduced(torch.from_numpy(part).float()) for part in maps.stored_parts()])

    def outputs_of(self, x: Tensor) -> Tensor:
        """What is `reduced` of maps -> u float32 (B,k)."""
        u: Tensor = FORMULAS[self.kind].compute(self.arrays(), x, torch)
        return u

    def moved(self, u: Tensor, noise: Tensor) -> Tensor:
        """Outputs (B,k) with noise float32 (B,d) on the coordinates that the linear layer reads."""
        return u + noise @ self.weight

    def folded(self, pca: Pca) -> Head:
        """The head on maps themselves."""
        return Head(self.kind, {name: value.detach().numpy() for name, value in self.arrays().items()})


def middles(u: Tensor) -> Tensor:
    """Midway between the two outputs that part the photos in halves, by bit: (N,k) -> (k,); 0 for a single photo.

    torch.median returns one of the outputs: then the last digit of any other arithmetic would decide that photo's bit.
    """
    if len(u) < 2:
        return u.new_zeros(u.shape[1:])
    ordered, middle = u.sort(dim=0).values, len(u) // 2
    return (ordered[middle - 1] + ordered[middle]) / 2
