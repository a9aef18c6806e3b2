"""The model: a describer and one head per code length; as a folder, safetensors and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from hashpipe.common.errors import UserError
from hashpipe.common.files import write_json
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.features.descriptors import Describer, Descriptors, restore_describer
from hashpipe.hashing.features.feature_maps import feature_maps
from hashpipe.hashing.features.stored_maps import Maps
from hashpipe.hashing.models.heads import Head, stored_head
from hashpipe.hashing.models.model_folder import DESCRIBER, MODEL_VERSION, model_fingerprint, read_model


@dataclass(frozen=True)
class HashModel:
    """A trained model. `config` is config.json; `thresholds` float32 (k,) by code length, zeros where not centred."""

    bits: tuple[int, ...]
    describer: Describer
    heads: Mapping[int, Head]
    thresholds: Mapping[int, np.ndarray]
    config: dict[str, Any]
    fingerprint: str

    @property
    def reads_maps(self) -> bool:
        return any(head.reads == "maps" for head in self.heads.values())

    def seen(self, images: ImageList, described: Descriptors, cache: Path | None) -> np.ndarray | Maps:
        """What the heads read of N images: their descriptors float32 (N,D), or where heads ask, their feature maps."""
        return feature_maps(self.describer, images, cache) if self.reads_maps else described.values

    def codes_input(self, seen: np.ndarray | Maps, bits: int) -> np.ndarray:
        """What the heads read (`seen`) -> real outputs u float32 (N,bits), before thresholds.

        Raises UserError for a code length that the model does not have.
        """
        if bits not in self.heads:
            raise UserError(
                f"This model has codes of {', '.join(map(str, self.bits))} bits and none of {bits}; "
                f"train it with --bits {','.join(map(str, sorted({*self.bits, bits})))}."
            )
        return self.heads[bits](seen)


def make_model(
    describer: Describer, heads: Mapping[int, Head], thresholds: Mapping[int, np.ndarray], config: dict[str, Any]
) -> HashModel:
    """A model in memory; its fingerprint covers all weights, thresholds and what turns images into descriptors.

    Raises UserError for weights that are not finite.
    """
    tensors = _tensors(describer, heads, thresholds)
    broken = [key for key, value in tensors.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if broken:
        raise UserError(
            f"The trained model holds values that are not finite (in {broken[0]}) and is not kept; "
            "train again with a smaller --learning-rate or --finetune-rate."
        )
    model_config = {"model_version": MODEL_VERSION, "bits": sorted(heads), "describer": describer.config, **config}
    mark = model_fingerprint({key: value.numpy() for key, value in tensors.items()}, describer.config)
    return HashModel(tuple(sorted(heads)), describer, heads, thresholds, {**model_config, "fingerprint": mark}, mark)


def save_model(folder: Path, model: HashModel) -> None:
    """Write config.json and model.safetensors into an existing folder."""
    (Path(folder) / "model.safetensors").write_bytes(save(_tensors(model.describer, model.heads, model.thresholds)))
    write_json(Path(folder) / "config.json", json.loads(json.dumps(model.config)))


def load_model(folder: Path, device: str = "auto", precision: str = "float32") -> HashModel:
    """Read a model folder; precision: of its network on a GPU, float32 or bf16.

    Raises UserError where it is missing, damaged, of another version or mixed from two.
    """
    stored = read_model(folder)
    config, arrays = stored.config, stored.arrays
    weights = {key: torch.from_numpy(value) for key, value in stored.describer_arrays.items()}
    describer = restore_describer(config["describer"], weights, device, precision)
    heads = {bits: stored_head(arrays, f"head{bits}.") for bits in stored.bits}
    thresholds = {bits: stored.thresholds(bits) for bits in stored.bits}
    return HashModel(stored.bits, describer, heads, thresholds, config, stored.fingerprint)


def _tensors(
    describer: Describer, heads: Mapping[int, Head], thresholds: Mapping[int, np.ndarray]
) -> dict[str, Tensor]:
    tensors = {f"{DESCRIBER}{key}": value.detach().cpu().contiguous() for key, value in describer.tensors.items()}
    for bits, head in heads.items():
        parts = {**head.stored, "thresholds": thresholds[bits]}
        tensors |= {
            f"head{bits}.{name}": torch.from_numpy(np.array(value, np.float32, order="C"))
            for name, value in parts.items()
        }
    return tensors
