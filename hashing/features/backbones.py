"""Torchvision classification networks as descriptors: weights, last feature map, pooling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from hashpipe.common.errors import UserError
from hashpipe.common.paths import expanded
from hashpipe.common.progress import say

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's, the same for all its classification weights
COMMON = ("resnet50", "mobilenet_v2", "resnet18", "resnet101", "efficientnet_b0", "convnext_tiny", "vit_b_16")
_HEADS = ("fc", "classifier", "head", "heads", "AuxLogits", "aux1", "aux2")


def pool(maps: Tensor, pooling: str, p: float = 3.0) -> Tensor:
    """Pool feature maps (B,C,H,W) to (B,C): gem (Radenovic et al., TPAMI 2018), mac (maximum) or spoc (mean)."""
    if pooling == "gem":
        return maps.clamp(min=1e-6).pow(p).mean((2, 3)).pow(1.0 / p)
    return maps.amax((2, 3)) if pooling == "mac" else maps.mean((2, 3))


class Trunk(nn.Module):
    """A classification network without its head: images (B,3,H,W), normalised -> unit descriptors (B,D)."""

    mean, std, multiple = MEAN, STD, 1

    def __init__(self, name: str, pooling: str | None) -> None:
        super().__init__()
        self.name, self.pooling = name, pooling or "gem"
        if self.pooling not in ("gem", "mac", "spoc"):
            raise UserError(f"--pooling {pooling} does not go with {name}; it takes gem or mac or spoc.")
        self.net = _build(name)
        self.size = _fixed_size(self.net)
        for head in _HEADS:
            if isinstance(getattr(self.net, head, None), nn.Module):
                setattr(self.net, head, nn.Identity())
        self._maps: Tensor | None = None
        self._tap()

    def _tap(self) -> None:
        """Keep the last feature map while the network runs; families differ in where it is."""
        net = self.net
        if isinstance(getattr(net, "avgpool", None), nn.AdaptiveAvgPool2d):
            net.avgpool.register_forward_pre_hook(lambda module, inputs: self._keep(inputs[0]))
            return
        for name in ("encoder", "features", "conv5", "layers", "blocks"):
            module = getattr(net, name, None)
            if isinstance(module, nn.Module):
                last = module[-1] if name == "blocks" else module  # type: ignore[index]
                last.register_forward_hook(lambda module, inputs, output: self._keep(output))
                return
        raise UserError(f"--backbone {self.name} has no feature map that is known here; name another network.")

    def _keep(self, maps: Tensor) -> None:
        if maps.dim() == 3:  # a transformer's tokens: the first is the class token, the others lie on a square
            side = round(float(maps.shape[1] - 1) ** 0.5)  # a tensor while the network is traced
            maps = maps[:, 1:].transpose(1, 2).reshape(maps.shape[0], -1, side, side)
        if self.name.startswith("densenet"):
            maps = functional.relu(maps)  # its forward applies this outside any module
        self._maps = maps

    def maps(self, images: Tensor) -> Tensor:
        """The last feature map, float32 (B,D,H,W)."""
        self.net(images)
        maps, self._maps = self._maps, None
        assert maps is not None
        return maps.float()

    def forward(self, images: Tensor) -> Tensor:
        return functional.normalize(pool(self.maps(images), self.pooling), dim=1)


@dataclass(frozen=True)
class Chosen:
    """Which network and weights the options come down to; `weights` is a file, "imagenet", or None for vlad."""

    backbone: str
    weights: Path | str | None


def choose(backbone: str | None, weights: str | None) -> Chosen:
    """Settle what to use where the user left it open. Raises UserError; downloads nothing."""
    if backbone == "vlad":
        if weights is not None:
            raise UserError(f"--backbone vlad takes no weights; omit --weights {weights} or name a network.")
        return Chosen("vlad", None)
    if backbone is not None:
        _check_name(backbone)
    if weights == "imagenet":
        return Chosen(backbone or "mobilenet_v2", "imagenet")
    if weights is not None:
        path = expanded(weights)
        if not path.is_file():
            raise UserError(f"--weights {weights} is not a file; give a .safetensors or .pth file, or imagenet.")
        guess = path.name.split("-")[0].split(".")[0]
        if backbone is None and guess not in torchvision.models.list_models(module=torchvision.models):
            raise UserError(f"--weights {weights} needs the name of its network; give it with --backbone NAME.")
        return Chosen(backbone or guess, path)
    if backbone is not None:
        if _cached(backbone) is None:
            raise UserError(
                f"--backbone {backbone} needs weights and torch has none cached; pass --weights FILE, "
                "--weights imagenet (a download), or use --backbone vlad."
            )
        return Chosen(backbone, "imagenet")
    cached = next((name for name in COMMON if _cached(name) is not None), None)
    return Chosen("vlad", None) if cached is None else Chosen(cached, "imagenet")


def load_trunk(chosen: Chosen, pooling: str | None) -> Trunk:
    """The network with its weights, frozen, in evaluation mode. Raises UserError where they do not fit."""
    path = _imagenet_file(chosen.backbone) if chosen.weights == "imagenet" else Path(str(chosen.weights))
    state = read_state(path)
    trunk = Trunk(chosen.backbone, pooling)
    fill(trunk, state, str(path))
    return trunk


def fill(trunk: Trunk, state: Mapping[str, Tensor], source: str) -> None:
    """Copy weights into a trunk; its former head may be missing or of another size. Raises UserError naming misfits."""
    given = {key: value for key, value in state.items() if not _is_head(key)}
    fitting(trunk.net, trunk.name, given, source)
    finite(given, source)
    trunk.net.load_state_dict(dict(given), strict=False)
    trunk.requires_grad_(False).eval()


def fitting(net: nn.Module, name: str, given: Mapping[str, Tensor], source: str) -> None:
    """Raises UserError where weights are not those of this network, naming some that do not fit."""
    wanted = net.state_dict()
    misfits = [key for key in wanted if key not in given and not key.endswith("num_batches_tracked")]
    misfits += [key for key in given if key not in wanted or given[key].shape != wanted[key].shape]
    if misfits:
        names = ", ".join(misfits[:3]) + (f" and {len(misfits) - 3} more" if len(misfits) > 3 else "")
        raise UserError(
            f"{source} holds weights of another network than {name} ({names} do not fit); "
            "name the right one with --backbone."
        )


def finite(given: Mapping[str, Tensor], source: str) -> None:
    """Raises UserError where a weight is not finite."""
    broken = [key for key, value in given.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if broken:
        raise UserError(
            f"{source} holds values that are not finite (in {broken[0]}); pass an intact file with --weights."
        )


def pick_device(wanted: str) -> torch.device:
    """The device that --device names; auto takes a GPU where torch finds one. Raises UserError where it is absent."""
    present = torch.cuda.is_available()
    if wanted == "cuda" and not present:
        raise UserError("--device cuda needs a GPU, and torch finds none; use --device cpu or auto.")
    return torch.device("cuda" if present and wanted != "cpu" else "cpu")


def _build(name: str) -> Any:
    keywords = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if name == "inception_v3":
        keywords["transform_input"] = True  # as its ImageNet weights expect
    if name == "googlenet":
        keywords |= {"transform_input": True}
    return torchvision.models.get_model(name, weights=None, **keywords)


def _fixed_size(net: nn.Module) -> int | None:
    """Side in pixels where a network takes square images of one size only."""
    if type(net).__name__ == "VisionTransformer":
        return int(net.image_size)  # type: ignore[arg-type]
    return 224 if type(net).__name__ == "MaxVit" else None


def _check_name(name: str) -> None:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        import difflib

        near = difflib.get_close_matches(name, [*known, "vlad"], n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose vlad or one of {', '.join(COMMON)}, ..."
        raise UserError(f"--backbone {name} is not a torchvision classification network; {hint}")


def _cached(name: str) -> Path | None:
    url = torchvision.models.get_model_weights(name).DEFAULT.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    return path if path.is_file() else None


def _imagenet_file(name: str) -> Path:
    """Torchvision's default weights; downloaded, with a word, only when torch has not cached them."""
    cached = _cached(name)
    if cached is not None:
        return cached
    weights = torchvision.models.get_model_weights(name).DEFAULT
    if torch.hub.get_dir().startswith("~"):  # torch would make a folder of this name
        raise UserError(
            f"The ImageNet weights of {name} cannot be stored, because this account has no home folder; name one in "
            f"TORCH_HOME, or fetch {weights.url} and pass it with --weights FILE."
        )
    megabytes = weights.meta.get("_file_size")
    say(f"downloading ImageNet weights of {name} from {weights.url}" + (f" ({megabytes:.0f} MB)" if megabytes else ""))
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digits = path.stem.rsplit("-", 1)[-1]  # torch's files carry the start of their SHA-256 in their name
        torch.hub.download_url_to_file(weights.url, str(path), hash_prefix=digits, progress=False)
    except Exception as error:
        raise UserError(
            f"{weights.url} cannot be downloaded ({str(error) or type(error).__name__}); "
            f"fetch it elsewhere and pass it with --weights {path.name}."
        ) from None
    return path


def read_state(path: Path) -> dict[str, Tensor]:
    """Named tensors of a .safetensors or .pth file, unwrapped from the usual wrappers."""
    state: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"--weights {path} cannot be read ({reason[:120]}); give an intact .safetensors or .pth file."
        ) from None
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"--weights {path} holds no named weights; give a network's state_dict.")
    return {key.removeprefix("module."): value for key, value in state.items()}


def _is_head(key: str) -> bool:
    return key.split(".")[0] in _HEADS
