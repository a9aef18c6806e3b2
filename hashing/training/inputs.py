"""What heads read of the photos that are learnt from: descriptors and, where a head asks, feature maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.hashing.features.descriptors import Describer, Descriptors
from hashpipe.hashing.features.feature_maps import feature_maps
from hashpipe.hashing.features.stored_maps import Maps
from hashpipe.hashing.training import distributed
from hashpipe.hashing.training.datasets import Source


def describe(describer: Describer, source: Source, cache: Path) -> Descriptors:
    """Descriptors of all photos; several processes compute a share each, and read the others' from the cache."""
    if distributed.count() > 1:
        part = distributed.share(len(source.images))
        describer.describe(source.images.subset(np.arange(part.start, part.stop)), cache)
        distributed.barrier()
    return describer.describe(source.images, cache)


def with_maps(describer: Describer, source: Source, described: Descriptors, cache: Path) -> tuple[Descriptors, Maps]:
    """The descriptors, ok only where there is a map too, and the maps of those photos; work is shared as above."""
    if distributed.count() > 1:
        part = distributed.share(len(source.images))
        feature_maps(describer, source.images.subset(np.arange(part.start, part.stop)), cache)
        distributed.barrier()
    maps = feature_maps(describer, source.images, cache)
    ok = described.ok & maps.ok
    return Descriptors(described.values, ok), maps.subset(ok)


def refuse_most_lost(source: Source, described: Descriptors) -> None:
    """Raise UserError where most photos of the pairs are away: a model of the rest would replace that of all."""
    if source.pairset is None:
        return
    total, lost = len(described.ok) + source.changed, int((~described.ok).sum()) + source.changed
    if 2 * lost > total:
        first = source.images.names[int(np.argmin(described.ok))]
        raise UserError(
            f"{lost} of the {total} photos of the pairs cannot be read or have changed, such as {first}; put them "
            "back, or build the pairs of the photos that are there."
        )
