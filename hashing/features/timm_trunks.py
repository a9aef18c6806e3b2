"""Networks of timm as descriptors: `--backbone timm:NAME`, with maps or tokens, and how each one wants its photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hashpipe.common.distribution import install_advice
from hashpipe.common.errors import UserError
from hashpipe.hashing.features.backbones import fitting, pool

PREFIX = "timm:"
OF_MAPS, OF_TOKENS = ("gem", "mac", "spoc"), ("cls", "mean", "cls+mean")


class TimmTrunk(nn.Module):
    """A network of timm without its head: images (B,3,H,W), normalised -> unit descriptors (B,D).

    Maps are pooled as those of torchvision's networks are. Of tokens the first one (cls), the mean of those that lie
    on the photo (mean), or both, each of length 1, after one another.

    size      side in pixels where the network takes squares of one size only, else None
    multiple  pixels that both sides are a multiple of
    mean, std that pixels are normalised with
    side      pixels, the network's own size
    """

    def __init__(self, name: str, pooling: str | None, own: Mapping[str, Any] | None = None) -> None:
        """own: what `config` gave of this network before; without it, what timm says of the network's weights.

        Raises UserError without timm, for an unknown name, a network that takes no photos, and a pooling that it has
        not.
        """
        super().__init__()
        self.name = name
        self.net, free = _build(name.removeprefix(PREFIX))
        cfg = own or config_of(self.net)
        self.mean, self.std, self.side = tuple(cfg["mean"]), tuple(cfg["std"]), int(cfg["side"])
        patch = getattr(getattr(self.net, "patch_embed", None), "patch_size", None)
        self.multiple = max(patch) if free and isinstance(patch, tuple) else 1
        self.size = None if free else self.side
        self.prefix = int(getattr(self.net, "num_prefix_tokens", 0) or 0)
        self.tokens = self._has_tokens()
        self.pooling = self._pooling(pooling)

    def config(self) -> dict[str, Any]:
        """What a model folder keeps, besides name, pooling and size of photos, so that photos are read as now."""
        found = {"mean": list(self.mean), "std": list(self.std), "side": self.side}
        return {**found, "multiple": self.multiple, "square": self.size is not None}

    def maps(self, images: Tensor) -> Tensor:
        """The last feature map, float32 (B,D,H,W): the tokens that lie on the photo where there are tokens."""
        found = self.net.forward_features(images)
        if not self.tokens:
            return self._upright(found).float()
        height, width = (length // self.multiple for length in images.shape[2:])
        found = found[:, self.prefix :]
        if self.multiple == 1:
            height = width = round(float(found.shape[1]) ** 0.5)
        return found.transpose(1, 2).reshape(found.shape[0], -1, height, width).float()

    def forward(self, images: Tensor) -> Tensor:
        if not self.tokens:
            return functional.normalize(pool(self.maps(images), self.pooling), dim=1)
        found = self.net.forward_features(images).float()
        first, mean = found[:, 0], found[:, self.prefix :].mean(1)
        if self.pooling != "cls+mean":
            return functional.normalize(first if self.pooling == "cls" else mean, dim=1)
        both = [functional.normalize(one, dim=1) for one in (first, mean)]
        return functional.normalize(torch.cat(both, 1), dim=1)

    def _upright(self, maps: Tensor) -> Tensor:
        return maps.permute(0, 3, 1, 2) if self.last else maps

    def _has_tokens(self) -> bool:
        """Look at what the network gives of a grey photo of its own size; `last`: channels stand last in its maps."""
        with torch.inference_mode():
            found = self.net.eval().forward_features(torch.zeros(1, 3, self.side, self.side))
        if not isinstance(found, Tensor) or found.dim() not in (3, 4):
            raise UserError(f"--backbone {self.name} gives neither feature maps nor tokens; name another network.")
        channels = self.net.num_features
        self.last = found.dim() == 4 and found.shape[3] == channels and found.shape[1] == found.shape[2] != channels
        return found.dim() == 3

    def _pooling(self, wanted: str | None) -> str:
        if wanted is None:
            if self.tokens:
                return "cls" if self.prefix else "mean"
            signed = any(isinstance(one, nn.LayerNorm) for one in self.net.modules())  # gem would take half of them off
            return "spoc" if signed else "gem"
        takes = (OF_TOKENS if self.prefix else ("mean",)) if self.tokens else OF_MAPS
        if wanted not in takes:
            raise UserError(f"--pooling {wanted} does not go with {self.name}; it takes {' or '.join(takes)}.")
        return wanted


def config_of(net: Any, overlay: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Mean, deviation and side of photos that a network's weights were learnt with."""
    import timm.data

    found = timm.data.resolve_data_config({}, pretrained_cfg={**net.pretrained_cfg, **(overlay or {})})
    return {"mean": list(found["mean"]), "std": list(found["std"]), "side": int(found["input_size"][1])}


def fill(trunk: TimmTrunk, state: Mapping[str, Tensor], source: str) -> None:
    """Copy weights into a network. Raises UserError naming what does not fit."""
    fitting(trunk.net, trunk.name, state, source)
    trunk.net.load_state_dict(dict(state), strict=False)
    trunk.requires_grad_(False).eval()


def check_name(name: str) -> None:
    """Raises UserError for a network that timm does not have, and without timm."""
    known = _timm().list_models()
    bare = name.removeprefix(PREFIX)
    if bare.split(".")[0] not in known:
        import difflib

        near = [PREFIX + one for one in difflib.get_close_matches(bare, known, n=3)]
        hint = f"did you mean {' or '.join(near)}?" if near else "its list_models() names them all."
        raise UserError(f"--backbone {name} is not a network of timm {_timm().__version__}; {hint}")


def _build(name: str) -> tuple[Any, bool]:
    """The network without head and weights; whether it takes photos of any shape."""
    timm, model = _timm(), None
    try:
        model = timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
        return model, True
    except TypeError:  # no transformer of patches, or one that takes one size only
        pass
    except Exception as error:
        raise UserError(f"--backbone {PREFIX}{name} cannot be made ({error}); name another network.") from None
    model = timm.create_model(name, pretrained=False, num_classes=0)
    return model, not model.pretrained_cfg.get("fixed_input_size", False)


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise UserError(
            f"--backbone timm:NAME needs the package timm; {install_advice('timm')}, or name a network of torchvision."
        ) from None
    return timm
