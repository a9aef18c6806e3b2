"""One model, one code length, one runtime, opened to turn photos into codes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from hashpipe.common.environment import cores
from hashpipe.common.errors import UserError
from hashpipe.hashing.codes.codes_file import CodeSpace, encode_outputs
from hashpipe.hashing.encoding import runtimes
from hashpipe.hashing.encoding.engines import Engine, TorchNetwork
from hashpipe.hashing.features import preprocess
from hashpipe.hashing.features.preprocess import Open
from hashpipe.hashing.features.quality import quality
from hashpipe.hashing.models.model_folder import StoredModel, read_model
from hashpipe.pairgen.photos.load import UnreadablePhoto

if TYPE_CHECKING:
    from hashpipe.hashing.data.images import ImageList

NO_FEATURES = "no features found in it"


@dataclass(frozen=True)
class Encoded:
    """One photo: u float32 (k,) or None with the reason, quality 0 to 1; facts: what the caller of `stream` adds."""

    u: np.ndarray | None
    quality: float = 0.0
    reason: str = ""
    facts: Any = None


Opener = Callable[[int], "Open | tuple[Open, np.ndarray] | Encoded"]
Facts = Callable[[int], Any]
Look = Callable[[int], tuple[np.ndarray | None, Encoded]]


@dataclass(frozen=True)
class Outputs:
    """N photos: u float32 (N,k), zeros where not ok; ok bool (N,); quality float32 (N,); reasons, "" where ok."""

    u: np.ndarray
    ok: np.ndarray
    quality: np.ndarray
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Encoder:
    """`space` says which codes it makes, `engine` computes them, `threads` photos at a time."""

    model: StoredModel
    space: CodeSpace
    engine: Engine
    threads: int

    def outputs(self, images: ImageList) -> Outputs:
        """Real outputs of all images, row by row; one that cannot be read is zeros with ok False."""
        u = np.zeros((len(images), self.space.bits), np.float32)
        quality, reasons = np.zeros(len(images), np.float32), []
        jobs = self.stream(len(images), lambda index: lambda side: images.open(index, side))
        for row, one in enumerate(jobs):
            quality[row] = one.quality
            reasons.append(one.reason)
            if one.u is not None:
                u[row] = one.u
        return Outputs(u, np.array([not reason for reason in reasons], bool), quality, tuple(reasons))

    def codes(self, u: np.ndarray) -> np.ndarray:
        """Packed codes uint8 (N, width) of real outputs float32 (N,k)."""
        return encode_outputs(u, self.space)

    def stream(self, count: int, opener: Opener, facts: Facts = lambda index: None) -> Iterator[Encoded]:
        """Photos 0 to count - 1 in order; memory holds a few of them only.

        `opener(index)` is called in a thread, or where a GPU waits in a process, and may raise UnreadablePhoto or
        OSError. It gives what opens the photo, or that and its outputs u where they are known, or all that is wanted.
        `facts(index)` is called there too, after the photo was looked at. What a photo gives does not depend on the
        others, except on a GPU in the last digits.
        """

        def look(index: int) -> tuple[np.ndarray | None, Encoded]:
            pixels, one = self._look(opener, index)
            return pixels, replace(one, facts=facts(index))

        def whole(index: int) -> Encoded:
            pixels, one = look(index)
            return one if pixels is None else _finished(self.engine.run(pixels[None])[0], one)

        with one_thread_each(self.engine):
            if self.engine.gpu is None:
                yield from preprocess.in_threads(whole, count, self.threads)
            else:
                yield from self._on_gpu(look, count, self.engine.gpu)

    def _look(self, opener: Opener, index: int) -> tuple[np.ndarray | None, Encoded]:
        """Pixels uint8 (H,W,3) and what is known of the photo so far; pixels are None where there is nothing to run."""
        seen: list[float] = []

        def judged(side: int | None) -> Image.Image:  # by the photo as it was decoded, not as it is enlarged
            picture = load(side)
            seen.append(quality(picture))
            return picture

        try:
            opened = opener(index)
            if isinstance(opened, Encoded):
                return None, opened
            load, u = opened if isinstance(opened, tuple) else (opened, None)
            picture = self.engine.picture(judged)
        except UnreadablePhoto as error:
            return None, Encoded(None, 0.0, error.reason)
        except OSError as error:
            return None, Encoded(None, 0.0, (error.strerror or str(error)).lower())
        if u is not None:
            return None, _finished(u, Encoded(None, seen[0]))
        return preprocess.pixels(picture), Encoded(None, seen[0])

    def _on_gpu(self, look: Look, count: int, gpu: TorchNetwork) -> Iterator[Encoded]:
        """In order what a GPU gives as it gets done."""
        from hashpipe.hashing.features import gpu_batches

        early: dict[int, Encoded] = {}
        at = 0
        for index, one, seen in gpu_batches.through(look, count, gpu.seen, gpu.device, gpu.side, self.threads):
            early[index] = one if seen is None else _finished(gpu.outputs(seen[None])[0], one)
            while at in early:
                yield early.pop(at)
                at += 1


def open_encoder(
    model_folder: Path,
    *,
    bits: int | None = None,
    thresholds: np.ndarray | None = None,
    runtime: str = "auto",
    device: str = "auto",
    threads: int = 0,
    precision: str = "float32",
) -> Encoder:
    """Open a model folder to encode photos.

    bits        None means the model's only code length, else its longest of at most 64 bits
    thresholds  float32 (bits,), None means the model's
    runtime     torch, onnx, openvino, or auto: what `encode` prepared and found to flip few bits, else torch
    threads     photos at a time, 0 means one per core
    precision   float32 or, on a GPU, bf16

    Raises UserError for a missing or damaged model, a code length it does not have, thresholds of another length, a
    runtime that is not installed and a device that is absent.
    """
    model = read_model(model_folder)
    bits = model.pick_bits(bits)
    own = model.thresholds(bits) if thresholds is None else np.asarray(thresholds, np.float32)
    if own.shape != (bits,) or not np.isfinite(own).all():
        raise UserError(f"{own.size} thresholds do not fit codes of {bits} bits; give one number for each bit.")
    threads = threads or cores()
    engine = runtimes.engine(model, bits, runtimes.choose(model, bits, runtime), device, threads, precision)
    return Encoder(model, CodeSpace(model.fingerprint, bits, own), engine, threads)


def _finished(u: np.ndarray, seen: Encoded) -> Encoded:
    return replace(seen, u=u) if np.isfinite(u).all() else replace(seen, reason=NO_FEATURES)


def one_thread_each(engine: Engine) -> contextlib.AbstractContextManager[None]:
    """Torch would give each of our threads all cores."""
    if engine.name != "torch" or engine.gpu is not None:
        return contextlib.nullcontext()
    from hashpipe.hashing.features.threads import one_torch_thread

    return one_torch_thread()
