"""What is scored beside the model: baselines on the same descriptors, plain and re-centred on the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from hashpipe.hashing.baselines import baselines
from hashpipe.hashing.benchmarks.protocols import Protocol
from hashpipe.hashing.codes.packing import ENOUGH_TO_CENTRE, pack, thresholds
from hashpipe.hashing.evaluation.pixel_hashes import MOST_BITS, HashOf
from hashpipe.hashing.evaluation.scoring import Coded


def coded(method: str, bits: int, u: np.ndarray, protocol: Protocol, t: np.ndarray | None = None) -> Coded:
    """Codes of a protocol from real outputs of all its images, float (N, bits), with thresholds float32 (bits,)."""
    return Coded(method, bits, pack(u[protocol.queries], t), pack(u[protocol.database], t))


def recentred(u: np.ndarray, protocol: Protocol) -> np.ndarray | None:
    """Medians of the database by bit, as `encode --recentre` sets them, float32 (bits,); None where it is too small."""
    return thresholds(u[protocol.database]) if len(protocol.database) >= ENOUGH_TO_CENTRE else None


def baseline_codes(
    protocol: Protocol,
    descriptors: np.ndarray,
    training: np.ndarray,
    bits: Sequence[int],
    names: Sequence[str],
    seed: int,
    say_note: Callable[[str], None],
    hash_of: HashOf | None = None,
) -> Iterator[Coded]:
    """Baselines of one protocol, fitted on training descriptors float32 (M, D) alone.

    descriptors float32 (N, D) of all images; hash_of gives perceptual hashes of all images.
    """
    if "float" in names:
        yield Coded("float", None, descriptors[protocol.queries], descriptors[protocol.database])
    projections = [name for name in names if name in baselines.PROJECTIONS]
    if projections and len(training) < 2:
        say_note(f"{protocol.name}: {len(training)} training photos are too few to fit baselines")
        projections = []
    basis = baselines.principal(training, max(bits), seed) if projections and bits else None
    if basis is not None and basis.axes.shape[1] < max(bits):
        say_note(
            f"{protocol.name}: {len(training)} training photos of {training.shape[1]} dimensions span "
            f"{basis.axes.shape[1]} directions; for more bits than that pca adds random projections, itq and pca-rr "
            "rotate into more bits"
        )
    if len(protocol.database) < ENOUGH_TO_CENTRE:
        say_note(f"{protocol.name}: {len(protocol.database)} database photos are too few to re-centre baselines on")
    for length in bits:
        for name in names:
            if name in projections:
                u = baselines.fit(name, training, length, seed, basis)(descriptors)
            elif name in MOST_BITS and hash_of is not None:
                if length > MOST_BITS[name]:
                    say_note(f"{name} has at most {MOST_BITS[name]} bits and is left out at {length}")
                    continue
                u = hash_of(name, length)
            else:
                continue
            yield coded(name, length, u, protocol)
            t = recentred(u, protocol)
            if t is not None:
                yield coded(f"{name}/recentred", length, u, protocol, t)
