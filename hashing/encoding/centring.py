"""Thresholds other than the model's: from a file, or computed once on the photos and shared by all shards."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import locked, read_json, write_json
from hashpipe.hashing.codes import packing
from hashpipe.hashing.codes.codes_file import read_codes
from hashpipe.hashing.models.model_folder import StoredModel

_LOOK_AGAIN = 1.0  # seconds between two looks for thresholds that another shard computes


def given_thresholds(path: Path, model: StoredModel, bits: int | None) -> np.ndarray:
    """float32 (k,) from a codes file, or from JSON with model, bits and thresholds; `bits` None takes any length.

    Raises UserError where the file is missing, damaged, or of another model or length.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"--thresholds {path} does not exist; name a codes file or a thresholds file.")
    if path.suffix == ".json":
        mark, found = _from_json(path)
    else:
        space = read_codes(path).space
        mark, found = space.model, space.thresholds
    if mark != model.fingerprint:
        raise UserError(
            f"--thresholds {path} belongs to model {mark}, these codes are made with model {model.fingerprint}; "
            "use thresholds of the same model."
        )
    if bits is not None and len(found) != bits:
        raise UserError(f"--thresholds {path} holds {len(found)} thresholds and --bits is {bits}; make them agree.")
    return np.asarray(found, np.float32)


def common_thresholds(file: Path, model: StoredModel, bits: int, outputs: Callable[[], np.ndarray]) -> np.ndarray:
    """The thresholds in `file`; where it is missing they are computed from `outputs()`, float32 (n,k), and written.

    They are the medians (packing.thresholds). Of several shards the first one computes and the others wait. Raises
    UserError for fewer photos than medians need.
    """
    while not file.is_file():
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(file.parent))
            except UserError:
                if not os.access(file.parent, os.W_OK):
                    raise
                time.sleep(_LOOK_AGAIN)  # another shard is at work
                continue
            if not file.is_file():
                found = packing.thresholds(outputs())
                write_thresholds(file, model, bits, found)
    return given_thresholds(file, model, bits)


def write_thresholds(file: Path, model: StoredModel, bits: int, t: np.ndarray) -> None:
    write_json(file, {"model": model.fingerprint, "bits": bits, "thresholds": [float(value) for value in t]})


def _from_json(path: Path) -> tuple[str, np.ndarray]:
    content = read_json(path)
    try:
        found = np.array(content["thresholds"], np.float32)
        if found.shape != (content["bits"],) or not np.isfinite(found).all():
            raise ValueError
        return str(content["model"]), found
    except (KeyError, TypeError, ValueError):
        raise UserError(f"--thresholds {path} holds no thresholds; name a codes file or a thresholds file.") from None
