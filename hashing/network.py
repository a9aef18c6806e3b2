"""The model: a describer and one head per code length; as a folder, safetensors and JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from hashpipe.hashing.descriptors import Describer, restore_describer
from hashpipe.pairgen.errors import UserError
from hashpipe.pairgen.files import fingerprint, read_json, write_json

MODEL_VERSION = 1


@dataclass(frozen=True)
class Head:
    """One linear hash layer: u = (x - mean) @ weight + bias.

    mean float32 (D,), weight float32 (D,k), bias float32 (k,).
    """

    mean: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, descriptors: np.ndarray) -> np.ndarray:
        """float32 (N,D) -> real outputs u, float32 (N,k)."""
        x = np.asarray(descriptors, np.float32)
        if x.shape[1] != len(self.mean):
            if len(x) == 0:
                return np.zeros((0, len(self.bias)), np.float32)
            raise ValueError(f"descriptors have {x.shape[1]} dimensions, the head takes {len(self.mean)}")
        return ((x - self.mean) @ self.weight + self.bias).astype(np.float32)


@dataclass(frozen=True)
class HashModel:
    """A trained model. `config` is config.json; `thresholds` float32 (k,) by code length, zeros where not centred."""

    bits: tuple[int, ...]
    describer: Describer
    heads: Mapping[int, Head]
    thresholds: Mapping[int, np.ndarray]
    config: dict[str, Any]
    fingerprint: str

    def codes_input(self, descriptors: np.ndarray, bits: int) -> np.ndarray:
        """Descriptors float32 (N,D) -> real outputs u float32 (N,bits), before thresholds.

        Raises UserError for a code length that the model does not have.
        """
        if bits not in self.heads:
            raise UserError(
                f"This model has codes of {', '.join(map(str, self.bits))} bits and none of {bits}; "
                f"train it with --bits {','.join(map(str, sorted({*self.bits, bits})))}."
            )
        return self.heads[bits](descriptors)


def make_model(
    describer: Describer, heads: Mapping[int, Head], thresholds: Mapping[int, np.ndarray], config: dict[str, Any]
) -> HashModel:
    """A model in memory; its fingerprint covers all weights, thresholds and what turns images into descriptors."""
    tensors = _tensors(describer, heads, thresholds)
    model_config = {"model_version": MODEL_VERSION, "bits": sorted(heads), "describer": describer.config, **config}
    mark = _fingerprint(tensors, describer.config)
    return HashModel(tuple(sorted(heads)), describer, heads, thresholds, {**model_config, "fingerprint": mark}, mark)


def save_model(folder: Path, model: HashModel) -> None:
    """Write config.json and model.safetensors into an existing folder."""
    (Path(folder) / "model.safetensors").write_bytes(save(_tensors(model.describer, model.heads, model.thresholds)))
    write_json(Path(folder) / "config.json", json.loads(json.dumps(model.config)))


def load_model(folder: Path, device: str = "auto") -> HashModel:
    """Read a model folder. Raises UserError where it is missing, damaged, of another version or mixed from two."""
    folder = Path(folder)
    if not (folder / "config.json").exists():
        raise UserError(f"{folder} holds no model yet; run `hashpipe train --unsupervised` first.")
    config = read_json(folder / "config.json")
    version = config.get("model_version") if isinstance(config, dict) else None
    if version != MODEL_VERSION:
        raise UserError(
            f"{folder} holds a model of version {version}, this hashpipe reads version {MODEL_VERSION}; train it again."
        )
    try:
        tensors = load_file(str(folder / "model.safetensors"))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder / 'model.safetensors'} cannot be read ({error}); train the model again.") from None
    if _fingerprint(tensors, config["describer"]) != config.get("fingerprint"):
        raise UserError(f"{folder} mixes files of different models; train it again.")
    describer = restore_describer(config["describer"], _part(tensors, "describer."), device)
    heads = {
        bits: Head(*(tensors[f"head{bits}.{name}"].numpy() for name in ("mean", "weight", "bias")))
        for bits in config["bits"]
    }
    thresholds = {bits: tensors[f"head{bits}.thresholds"].numpy() for bits in config["bits"]}
    return HashModel(tuple(config["bits"]), describer, heads, thresholds, config, config["fingerprint"])


def _tensors(
    describer: Describer, heads: Mapping[int, Head], thresholds: Mapping[int, np.ndarray]
) -> dict[str, Tensor]:
    tensors = {f"describer.{key}": value.detach().cpu().contiguous() for key, value in describer.tensors.items()}
    for bits, head in heads.items():
        parts = {"mean": head.mean, "weight": head.weight, "bias": head.bias, "thresholds": thresholds[bits]}
        tensors |= {
            f"head{bits}.{name}": torch.from_numpy(np.array(value, np.float32)) for name, value in parts.items()
        }
    return tensors


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}


def _fingerprint(tensors: Mapping[str, Tensor], describer: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        value = tensors[key]
        digest.update(f"{key} {tuple(value.shape)} {value.dtype}".encode() + value.numpy().tobytes())
    return fingerprint(MODEL_VERSION, describer, digest.hexdigest())
