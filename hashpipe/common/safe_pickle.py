"""Other people's pickles (training databases, ground truth, CIFAR-10 batches) without running what they carry.

Three guards: the opcodes are read before anything is built (their number, and memo numbers that would reserve memory);
only containers, numbers, texts and numeric arrays are built; what was built is measured as if it were written out, so
that a small pickle cannot unfold into a huge nest.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError

MOST_BYTES = 1 << 30  # of a file; the largest published training database has some 50 MB
MOST_OPCODES = 10_000_000
MOST_ITEMS = 20_000_000  # numbers and texts, those that stand in several places counted each time
MOST_NESTED = 32

_PLAIN_DTYPE = re.compile(r"[<>=|]?[?biufcSUO]\d{0,4}")
_SCALARS = (type(None), bool, int, float, complex, str, bytes, bytearray, np.generic)


class _ArrayName:
    """Stands for numpy.ndarray, which as a callable would reserve any memory."""


class _Type:
    """Stands for numpy.dtype. Of its state only the byte order is taken: the rest could pass bytes off as pointers."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    def __setstate__(self, state: Any) -> None:
        order, *parts = state[1:5]  # then subarray, names, fields
        if order not in ("<", ">", "|", "=") or any(part is not None for part in parts):
            raise pickle.UnpicklingError("it asks for a compound type of numbers")
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """An array that is filled only where type, shape and data fit together: NumPy itself trusts what it is told."""

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        content = data.encode("latin1") if isinstance(data, str) else data  # bytes of Python 2
        if not isinstance(kind, _Type) or not all(type(side) is int and side >= 0 for side in shape):
            raise pickle.UnpicklingError("it asks for an array that NumPy would not write")
        count = math.prod(shape)
        whole = (
            type(content) is list and len(content) == count
            if kind.dtype.hasobject
            else isinstance(content, bytes) and len(content) == count * kind.dtype.itemsize
        )
        if not whole:
            raise pickle.UnpicklingError("the data of an array do not fill it")
        checked: Any = (1, tuple(shape), kind.dtype, bool(fortran), content)
        super().__setstate__(checked)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return np.asarray(self).__reduce_ex__(protocol)  # on the way to another process it is any array


def _reconstruct(kind: Any, shape: Any, typecode: Any) -> np.ndarray:
    """NumPy always begins with an empty array, and fills it from the data of the pickle."""
    if kind is not _ArrayName or tuple(shape) != (0,):
        raise pickle.UnpicklingError("it asks for an array that NumPy would not write")
    return _Array((0,), np.int8)


def _dtype(name: Any, *_: Any) -> _Type:
    if not isinstance(name, str) or not _PLAIN_DTYPE.fullmatch(name):
        raise pickle.UnpicklingError(f"it asks for numbers of type {str(name)[:40]!r}")
    return _Type(np.dtype(name))


def _scalar(kind: Any, data: Any) -> Any:
    content = data.encode("latin1") if isinstance(data, str) else data
    if not isinstance(kind, _Type) or kind.dtype.hasobject or not isinstance(content, bytes):
        raise pickle.UnpicklingError("it asks for a number that NumPy would not write")
    return np.frombuffer(content, kind.dtype)[0]


def _latin1(text: str, encoding: str) -> bytes:
    """Python 2 wrote bytes as text of this encoding."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in encoding {encoding!r} are not allowed")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Protocol 2 writes empty bytes as a call without arguments; with arguments it could ask for any memory."""
    return b""


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _ArrayName,
    ("numpy", "dtype"): _dtype,
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
    """Plain values and numeric arrays of a pickle; anything else in it, or too much of it, is a UserError."""
    try:
        _check_opcodes(data)
        value = _Restricted(io.BytesIO(data), encoding="latin1").load()
        _check_size(value)
    except Exception as error:  # damaged pickles raise nearly anything
        raise UserError(f"{source} is not a pickle of plain lists and arrays ({error}); download it again.") from None
    return value


def load_file(path: Path) -> Any:
    """`load` of a file, which is not even read where it is larger than any published one."""
    return load(read_bounded(path), path)


def read_bounded(path: Path) -> bytes:
    """The bytes of a file of others; a UserError where it cannot be read or is larger than any published one."""
    try:
        size = Path(path).stat().st_size
        if size > MOST_BYTES:
            raise UserError(
                f"{path} has {size:,} bytes, more than the {MOST_BYTES:,} that are read; give a smaller one."
            )
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({(error.strerror or str(error)).lower()}); check the path.") from None


def dump_plain(value: Any) -> bytes:
    """A pickle of plain containers, numbers and texts, in the protocol that Python 2 and 3 read."""
    _check_size(value)
    return pickle.dumps(value, protocol=2)


def _check_opcodes(data: bytes) -> None:
    if len(data) > MOST_BYTES:
        raise pickle.UnpicklingError(f"it has more than {MOST_BYTES:,} bytes")
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if count >= MOST_OPCODES:
            raise pickle.UnpicklingError(f"it has more than {MOST_OPCODES:,} parts")
        if "PUT" in opcode.name and argument is not None and not 0 <= int(argument) <= count + 1:
            raise pickle.UnpicklingError("it numbers its parts as no writer does")  # reserves memory up to the number


def _check_size(value: Any) -> None:
    """Refuse cycles, deep nests, and containers that share their parts so often that walking them would never end."""
    finished: dict[int, int] = {}  # container -> its items, as if written out

    def enter(container: Any) -> None:
        children, items = _parts(container)
        path.append((container, iter(children)))
        counts.append(items)
        inside.add(id(container))
        if len(path) > MOST_NESTED:
            raise pickle.UnpicklingError(f"it is nested more than {MOST_NESTED} deep")

    path: list[tuple[Any, Iterator[Any]]] = []
    counts: list[int] = []
    inside: set[int] = set()
    enter(value)
    while path:
        container, rest = path[-1]
        child = next(rest, path)  # the path itself stands for the end
        if child is path:
            path.pop()
            inside.discard(id(container))
            finished[id(container)] = count = counts.pop()
            if counts:
                counts[-1] += count
        elif id(child) in inside:
            raise pickle.UnpicklingError("it holds itself")
        elif id(child) in finished:
            counts[-1] += finished[id(child)]
        else:
            enter(child)
        if max(counts, default=0) > MOST_ITEMS or finished.get(id(container), 0) > MOST_ITEMS:
            raise pickle.UnpicklingError(f"it unfolds to more than {MOST_ITEMS:,} items")


def _parts(value: Any) -> tuple[list[Any], int]:
    """The containers directly inside a value, and its number of plain items (at least one)."""
    if isinstance(value, _SCALARS):
        return [], 1
    if isinstance(value, np.ndarray):
        if value.size > MOST_ITEMS:
            raise pickle.UnpicklingError(f"it holds an array of {value.size:,} items")
        if value.dtype != object:
            return [], max(1, value.size)
        inside = value.ravel().tolist()
    elif isinstance(value, dict):
        inside = [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        inside = list(value)
    else:
        raise pickle.UnpicklingError(f"it holds a {type(value).__name__}")
    children = [one for one in inside if not isinstance(one, _SCALARS)]
    return children, 1 + len(inside) - len(children)
