"""Other people's pickles (CIFAR-10 batches, ground truth of revisited Oxford) without running what they carry."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.pairgen.errors import UserError

_reconstruct: Any = np.zeros(1).__reduce__()[0]
_scalar: Any = np.float64(0).__reduce__()[0]


def _latin1(text: str, encoding: str) -> bytes:
    """Python 2 wrote bytes as text of this encoding."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in encoding {encoding!r} are not allowed")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Protocol 2 writes empty bytes as a call without arguments; with arguments it could ask for any memory."""
    return b""


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytes"): _no_bytes,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[_module, "_reconstruct"] = _reconstruct
    _ALLOWED[_module, "scalar"] = _scalar


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def load(data: bytes, source: str | Path) -> Any:
    """Plain values and numeric arrays of a pickle; anything else in it is a UserError and is not run."""
    try:
        return _Restricted(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # damaged pickles raise nearly anything
        raise UserError(
            f"{source} is not a pickle of plain lists and arrays ({error}); get it again from where it is published."
        ) from None
