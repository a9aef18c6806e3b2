"""Two descriptors of one photo (Kang, Kim, Choi, DMVH, ICDM 2012): units of each view alone, and units of both."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hashpipe.hashing.models.map_formulas import two_views
from hashpipe.hashing.training.heads.base import MapHead

UNITS = 128  # at least, and twice as many as bits: a quarter for each view, half for both


class ViewsHead(MapHead):
    """The views are GeM and maximum of a map, in PCA coordinates (B,d); m units, m = max(128, 2 k), rounded up to 4.

    Units of both views start as the leading coordinates of their mean, on which the weights float32 (d,k) of a linear
    layer stand; those of one view are drawn, and count 0 at the start.

    coordinates: of the last batch, float32 (B,2,d).
    """

    kind, whole = "views", True
    coordinates: Tensor

    def make_own(self) -> None:
        width, bits = self.weight.shape
        quarter = -(-max(UNITS, 2 * bits) // 4)
        self.private = nn.Parameter(torch.randn(2, width, quarter))
        self.shared = nn.Parameter(0.5 * torch.eye(width, 2 * quarter).repeat(2, 1, 1))
        self.hidden_bias = nn.Parameter(torch.zeros(4 * quarter))
        self.outer = nn.Parameter(torch.zeros(4 * quarter, bits))
        with torch.no_grad():
            rows = min(width, 2 * quarter)
            self.outer[2 * quarter : 2 * quarter + rows] = self.weight[:rows]
        del self.weight

    def reduced(self, maps: Tensor) -> Tensor:
        """Both views, float32 (B,2,C)."""
        return torch.stack(two_views(maps, torch), 1)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """maps float32 (B,C,g,g), or both views, -> u float32 (B,k); noise float32 (B,d) is added to both views."""
        views = torch.stack([(one - self.mean) @ self.axes for one in self.read(x).unbind(1)], 1)
        self.coordinates = views if noise is None else views + noise[:, None]
        return self.hashed(self.units(self.coordinates))

    def units(self, coordinates: Tensor) -> Tensor:
        """Hidden units (B,m) of two views (B,2,d): a quarter of the first, a quarter of the second, half of both."""
        return torch.tanh(torch.einsum("nvd,vdm->nm", coordinates, self._hidden()) + self.hidden_bias)

    def hashed(self, units: Tensor) -> Tensor:
        """Units (B,m) -> u (B,k)."""
        return units @ self.outer + self.bias

    def arrays(self) -> dict[str, Tensor]:
        """The arrays of the formula, on maps themselves."""
        first, second = self.axes @ self._hidden()
        names = ("mean", "hidden_bias", "outer", "bias")
        return {"first": first, "second": second, **{name: getattr(self, name) for name in names}}

    def _hidden(self) -> Tensor:
        """Weights (2,d,m) of both views, zeros where a unit does not see one."""
        none = torch.zeros_like(self.private[0])
        own = torch.stack([torch.cat([self.private[0], none], 1), torch.cat([none, self.private[1]], 1)])
        return torch.cat([own, self.shared], 2)
