"""A model folder read without torch: configuration, weights as NumPy arrays, heads and thresholds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from hashpipe.common.errors import UserError
from hashpipe.common.files import fingerprint, put_back, read_json
from hashpipe.hashing.codes.options import BITS_MIN
from hashpipe.hashing.models.heads import BIT_WEIGHTS, Head, stored_head

MODEL_VERSION = 1
LONGEST_DEFAULT = 64  # bits
DESCRIBER = "describer."  # begins the name of every weight of the describer


@dataclass(frozen=True)
class StoredModel:
    """What a model folder holds. `arrays` are the weights by name: describer.*, head<bits>.*."""

    folder: Path
    config: dict[str, Any]
    fingerprint: str
    arrays: Mapping[str, np.ndarray]

    @property
    def bits(self) -> tuple[int, ...]:
        return tuple(self.config["bits"])

    @property
    def describer(self) -> dict[str, Any]:
        """How photos become descriptors: backbone, image size, pooling."""
        return dict(self.config["describer"])

    @property
    def describer_arrays(self) -> dict[str, np.ndarray]:
        """The describer's own weights, by the names that it gives them."""
        start = len(DESCRIBER)
        return {key[start:]: value for key, value in self.arrays.items() if key.startswith(DESCRIBER)}

    def thresholds(self, bits: int) -> np.ndarray:
        """float32 (bits,)"""
        return self.arrays[f"head{self._trained(bits)}.thresholds"][:bits]

    def head(self, bits: int) -> Head:
        """The head of this code length: descriptors float32 (N,D) -> real outputs u, float32 (N,bits).

        Where bits carry learnt weights, any shorter length is the most weighted bits of the longest code.
        """
        found = stored_head(self.arrays, f"head{self._trained(bits)}.")
        return found if found.bits == bits else found.first(bits)

    def _trained(self, bits: int) -> int:
        """The code length whose head gives codes of `bits` bits: this one, else the longest."""
        return bits if bits in self.bits else max(self.bits)

    @property
    def _cuttable(self) -> bool:
        return f"head{max(self.bits)}.{BIT_WEIGHTS}" in self.arrays

    def pick_bits(self, bits: int | None) -> int:
        """The code length asked for; without one the only one, else the longest of at most 64 bits, else the shortest.

        Raises UserError for a length that the model does not have.
        """
        if bits is None:
            return max((one for one in self.bits if one <= LONGEST_DEFAULT), default=min(self.bits))
        if bits not in self.bits and not (self._cuttable and BITS_MIN <= bits < max(self.bits)):
            raise UserError(
                f"--bits {bits} is not one of the model's code lengths ({', '.join(map(str, self.bits))}); choose "
                f"one of them, or train with --bits {','.join(map(str, sorted({*self.bits, bits})))}."
            )
        return bits


def read_model(folder: Path) -> StoredModel:
    """Read a model folder. Raises UserError where it is missing, damaged, of another version or mixed from two."""
    folder = Path(folder)
    put_back(folder)
    if not (folder / "config.json").exists():
        raise UserError(f"{folder} holds no model yet; run `hashpipe train --unsupervised` first.")
    config = read_json(folder / "config.json")
    version = config.get("model_version") if isinstance(config, dict) else None
    if version != MODEL_VERSION:
        raise UserError(
            f"{folder} holds a model of version {version}, this hashpipe reads version {MODEL_VERSION}; train it again."
        )
    try:
        arrays = load_file(str(folder / "model.safetensors"))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder / 'model.safetensors'} cannot be read ({error}); train the model again.") from None
    if model_fingerprint(arrays, config["describer"]) != config.get("fingerprint"):
        raise UserError(f"{folder} mixes files of different models; train it again.")
    return StoredModel(folder, config, config["fingerprint"], arrays)


def model_fingerprint(arrays: Mapping[str, np.ndarray], describer: Mapping[str, Any]) -> str:
    """16 hexadecimal digits over every weight and threshold, and over what turns images into descriptors."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        value = arrays[key]
        digest.update(f"{key} {tuple(value.shape)} torch.{value.dtype}".encode() + value.tobytes())
    return fingerprint(MODEL_VERSION, dict(describer), digest.hexdigest())


def descriptors_fingerprint(model: StoredModel) -> str:
    """The fingerprint under which a workspace caches float descriptors of this model's describer."""
    digest = hashlib.sha256()
    for key, value in sorted(model.describer_arrays.items()):
        digest.update(key.encode() + value.tobytes())
    return fingerprint(model.describer, digest.hexdigest())
