"""Where weights of timm's networks come from: a file, a folder as the hub keeps them, the hub's cache, a download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from hashpipe.common.errors import UserError
from hashpipe.common.paths import expanded
from hashpipe.common.progress import say
from hashpipe.hashing.features.backbones import Chosen, finite, read_state
from hashpipe.hashing.features.timm_trunks import PREFIX, TimmTrunk, check_name, config_of, fill

LOCAL, PRETRAINED = "local-dir:", "pretrained"
_FILES = ("model.safetensors", "pytorch_model.bin")


def choose(backbone: str, weights: str | None) -> Chosen:
    """Settle where the weights come from. Raises UserError; downloads nothing."""
    check_name(backbone)
    if weights is None:
        if _cached(backbone) is None:
            raise UserError(
                f"--backbone {backbone} needs weights and the hub's cache has none; pass --weights FILE, "
                f"--weights {LOCAL}FOLDER or --weights {PRETRAINED} (a download)."
            )
        return Chosen(backbone, PRETRAINED)
    if weights == PRETRAINED:
        return Chosen(backbone, PRETRAINED)
    path = expanded(weights.removeprefix(LOCAL))
    if weights.startswith(LOCAL):
        _folder_config(path, backbone)
        return Chosen(backbone, next(path / name for name in _FILES if (path / name).is_file()))
    if not path.is_file():
        raise UserError(
            f"--weights {weights} is not a file; give a .safetensors or .pth file, {LOCAL}FOLDER, or {PRETRAINED}."
        )
    return Chosen(backbone, path)


def load(chosen: Chosen, pooling: str | None) -> TimmTrunk:
    """The network with its weights, frozen, in evaluation mode. Raises UserError where they do not fit."""
    trunk = TimmTrunk(chosen.backbone, pooling)
    path = _fetched(trunk) if chosen.weights == PRETRAINED else Path(str(chosen.weights))
    said: dict[str, Any] = {}
    if chosen.weights != PRETRAINED and (path.parent / "config.json").is_file() and path.name in _FILES:
        said = _folder_config(path.parent, chosen.backbone)
    if said:
        trunk = TimmTrunk(chosen.backbone, pooling, config_of(trunk.net, said))
    state = _without_head(trunk, _filtered(trunk, path))
    finite(state, str(path))
    fill(trunk, state, str(path))
    return trunk


def _filtered(trunk: TimmTrunk, path: Path) -> dict[str, Tensor]:
    """Weights by the network's own names: timm knows the other names that papers' files use."""
    import importlib

    state = read_state(path)
    module = importlib.import_module(type(trunk.net).__module__)
    rename = getattr(module, "checkpoint_filter_fn", None)
    if rename is None:
        return state
    try:
        renamed: Any = rename(dict(state), trunk.net)
    except Exception as error:
        raise UserError(f"{path} holds weights of another network than {trunk.name} ({error}).") from None
    return dict(renamed)


def _without_head(trunk: TimmTrunk, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Only what is no part of the classifier; timm names its layers."""
    named = trunk.net.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{one}." for one in ((named,) if isinstance(named, str) else named))
    wanted = trunk.net.state_dict()
    return {key: value for key, value in state.items() if key in wanted or not key.startswith(heads)}


def _folder_config(folder: Path, backbone: str) -> dict[str, Any]:
    """pretrained_cfg of a folder as the hub keeps it. Raises UserError where it is no such folder of this network."""
    path = folder / "config.json"
    if not path.is_file() or not any((folder / name).is_file() for name in _FILES):
        raise UserError(f"--weights {LOCAL}{folder} needs config.json and {' or '.join(_FILES)} in that folder.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        name, said = str(config["architecture"]), dict(config.get("pretrained_cfg", {}))
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is not a config of timm (it names no architecture); give --weights FILE.") from None
    if name != backbone.removeprefix(PREFIX).split(".")[0]:
        raise UserError(f"{path} is of {name} and --backbone says {backbone}; give --backbone {PREFIX}{name}.")
    return said


def _hub(backbone: str) -> tuple[str, dict[str, Any]]:
    import timm

    found: Any = timm.get_pretrained_cfg(backbone.removeprefix(PREFIX))
    cfg = found.to_dict() if found is not None else {}
    return str(cfg.get("hf_hub_id") or ""), cfg


def _cached(backbone: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    name, _ = _hub(backbone)
    for file in _FILES if name else ():
        found = try_to_load_from_cache(name, file)
        if isinstance(found, str):
            return Path(found)
    return None


def _fetched(trunk: TimmTrunk) -> Path:
    """The file of timm's own weights: from the hub's cache, else downloaded, with a word before."""
    there = _cached(trunk.name)
    if there is not None:
        return there
    from huggingface_hub import hf_hub_download

    name, cfg = _hub(trunk.name)
    if not name:
        raise UserError(f"timm has no weights of {trunk.name}; pass --weights FILE.")
    megabytes = sum(one.numel() * 4 for one in trunk.net.parameters()) / 1e6
    licence = cfg.get("license") or "not stated"
    say(f"downloading weights of {trunk.name} from {name} (about {megabytes:.0f} MB, licence: {licence})")
    try:
        return Path(hf_hub_download(name, _FILES[0]))
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"Weights of {trunk.name} cannot be downloaded ({reason[:120]}); fetch {name} elsewhere and pass "
            f"--weights {LOCAL}FOLDER."
        ) from None
