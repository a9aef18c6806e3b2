"""CIFAR-10 as it is found on disks: published archives, their folders, class folders, a zip of class folders."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from hashpipe.common.errors import UserError
from hashpipe.common.safe_pickle import MOST_BYTES, load, read_bounded
from hashpipe.hashing.data.images import ImageList, from_paths, from_zip

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_PARTS = ("train", "train", "train", "train", "train", "test")
_PYTHON = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
_BINARY = tuple(f"{name}.bin" for name in _PYTHON)
_ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")
_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Labelled:
    """Images with a class each. identities: N stable names, as `train/00017` or `test/cat/0004.jpg`; labels int64 (N,);
    test bool (N,)."""

    images: ImageList
    identities: tuple[str, ...]
    labels: np.ndarray
    test: np.ndarray


def read_cifar10(root: Path) -> Labelled:
    """Find CIFAR-10 at `root` (archive, folder or zip). Raises UserError that says what was looked for."""
    root = Path(root)
    if not root.exists():
        raise UserError(
            f"{root} does not exist; name the CIFAR-10 archive, its folder, or a tree train/CLASS, test/CLASS."
        )
    if root.is_dir():
        for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir())):
            for names in (_PYTHON, _BINARY):
                if (folder / names[-1]).exists():
                    return _from_batches(folder, names, partial(_read_below, folder))
        for name in _ARCHIVES:
            if (root / name).exists():
                return read_cifar10(root / name)
        found = [
            path.relative_to(root).as_posix() for path in sorted(root.rglob("*")) if path.suffix.lower() in _SUFFIXES
        ]
        return _from_classes(root, found, lambda names: from_paths(root / name for name in names))
    if zipfile.is_zipfile(root):
        with zipfile.ZipFile(root) as archive:
            found = sorted(name for name in archive.namelist() if name.lower().endswith(_SUFFIXES))
        return _from_classes(root, found, lambda names: from_zip(root, names))
    with _tar_members(root) as read:
        for names in (_PYTHON, _BINARY):
            if read(names[-1]) is not None:
                return _from_batches(root, names, read)
    raise UserError(
        f"{root} is neither a CIFAR-10 archive nor a zip of class folders; `hashpipe benchmarks show cifar10` "
        "says more."
    )


@contextmanager
def _tar_members(path: Path) -> Iterator[Callable[[str], bytes | None]]:
    """A function that reads a member by its last name; nothing is unpacked."""
    try:
        with tarfile.open(path) as archive:
            members = {PurePosixPath(one.name).name: one for one in archive if one.isfile()}

            def read(name: str) -> bytes | None:
                stream = archive.extractfile(_bounded(members[name])) if name in members else None
                return None if stream is None else stream.read()

            yield read
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(f"{path} cannot be read as an archive ({error}); download it again.") from None


def _bounded(member: tarfile.TarInfo) -> tarfile.TarInfo:
    if member.size > MOST_BYTES:  # before a small archive unfolds in memory
        raise UserError(f"{member.name} has {member.size:,} bytes, more than the {MOST_BYTES:,} that are read.")
    return member


def _from_batches(source: Path, names: tuple[str, ...], read: Callable[[str], bytes | None]) -> Labelled:
    pixels, labels, parts = [], [], []
    for name, part in zip(names, _PARTS, strict=True):
        data = read(name)
        if data is None:
            raise UserError(f"{source} lacks {name}; download the archive again.")
        rows, classes = _python_batch(data, source, name) if names is _PYTHON else _binary_batch(data, source, name)
        pixels.append(rows)
        labels.append(classes)
        parts += [part] * len(rows)
    stacked = np.concatenate(pixels).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    test = np.array([part == "test" for part in parts])
    number = np.where(test, np.cumsum(test), np.cumsum(~test)) - 1
    identities = tuple(f"{part}/{i:05d}" for part, i in zip(parts, number, strict=True))
    images = ImageList(
        keys=tuple(hashlib.sha256(one.tobytes()).hexdigest() for one in stacked),
        open=lambda index, side: _shrunk(Image.fromarray(np.ascontiguousarray(stacked[index])), side),
        names=identities,
    )
    return Labelled(images, identities, np.concatenate(labels), test)


def _read_below(folder: Path, name: str) -> bytes | None:
    path = folder / name
    return read_bounded(path) if path.is_file() else None


def _python_batch(data: bytes, source: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    content = load(data, f"{source}: {name}")
    try:
        content = {key.decode() if isinstance(key, bytes) else key: value for key, value in content.items()}
        pixels, labels = np.asarray(content["data"], dtype=np.uint8), np.asarray(content["labels"], dtype=np.int64)
        if pixels.ndim != 2 or pixels.shape != (len(labels), 3072):
            raise ValueError(f"shape {pixels.shape}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{source}: {name} is not a CIFAR-10 batch ({error}); download the archive again.") from None
    return pixels, _known(labels, source, name)


def _binary_batch(data: bytes, source: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    if not data or len(data) % 3073:
        raise UserError(f"{source}: {name} has {len(data)} bytes, no multiple of 3,073; download the archive again.")
    rows = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3073)
    return rows[:, 1:], _known(rows[:, 0].astype(np.int64), source, name)


def _known(labels: np.ndarray, source: Path, name: str) -> np.ndarray:
    if len(labels) and (labels.min() < 0 or labels.max() >= len(CLASSES)):
        raise UserError(f"{source}: {name} has a label outside 0..9, so it is not CIFAR-10.")
    return labels


def _from_classes(source: Path, found: list[str], open_list: Callable[[list[str]], ImageList]) -> Labelled:
    """Photos below train/CLASS/ and test/CLASS/, wherever these folders are."""
    kept, identities, labels, test = [], [], [], []
    for name in found:
        parts = PurePosixPath(name).parts
        if len(parts) < 3 or parts[-3] not in ("train", "test"):
            continue
        if parts[-2] not in CLASSES:
            raise UserError(
                f"{source} has a class {parts[-2]!r}, which CIFAR-10 does not have; classes are {', '.join(CLASSES)}."
            )
        kept.append(name)
        identities.append("/".join(parts[-3:]))
        labels.append(CLASSES.index(parts[-2]))
        test.append(parts[-3] == "test")
    if not kept:
        raise UserError(
            f"{source} holds neither CIFAR-10 batches nor photos in train/CLASS/ and test/CLASS/; check --root."
        )
    return Labelled(open_list(kept), tuple(identities), np.array(labels, dtype=np.int64), np.array(test))


def _shrunk(picture: Image.Image, side: int | None) -> Image.Image:
    if side is not None and max(picture.size) > side:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture
