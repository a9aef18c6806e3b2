"""Feature maps of photos for heads that read them: computed once, kept as float16, read by memory map."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.progress import stage
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.features import descriptor_cache
from hashpipe.hashing.features.describer import Describer
from hashpipe.hashing.features.map_grid import GRID
from hashpipe.hashing.features.stored_maps import Maps

CHUNK = 2048  # photos whose maps are in memory at a time
FOLDER = f"maps{GRID}"  # beside the descriptors of the same describer


def feature_maps(describer: Describer, images: ImageList, cache: Path | None = None) -> Maps:
    """The network's last feature map of each image on a grid of 7 x 7, float16 (C,7,7), in the order of the images.

    Those in the cache folder are memory-mapped; the others are computed, and written some hundreds at a time, so that
    a run that was killed goes on from there. An image that cannot be read keeps its row, without a map. Without a cache
    folder all stay in memory. Raises UserError for a describer without feature maps.
    """
    if describer.compute_maps is None:
        raise UserError(
            f"{describer.name} has no feature maps; name a network with --backbone, or train with --set head=linear."
        )
    folder = None if cache is None else Path(cache) / describer.cached_as / FOLDER
    known = descriptor_cache.read(folder, 3)
    first_row = {images.keys[row]: row for row in reversed(range(len(images))) if images.keys[row] not in known}
    todo = sorted(first_row.values())
    with stage(f"feature maps ({describer.name})", len(todo), "photos") as advance:
        chunk = min(describer.chunk, CHUNK)
        for start in range(0, len(todo), chunk):
            rows = todo[start : start + chunk]
            found = describer.compute_maps(images.subset(rows), advance)
            good = {images.keys[row]: value for row, value in zip(rows, found, strict=True) if value is not None}
            if good:
                written = descriptor_cache.write(folder, list(good), np.stack(list(good.values())), np.float16)
                known.update(written if folder is None else {})
    if folder is not None and todo:
        known = descriptor_cache.read(folder, 3)
    rows_found = tuple(known.get(key) for key in images.keys)
    channels, height, width = next((row.shape for row in rows_found if row is not None), (0, GRID, GRID))
    return Maps(rows_found, (channels, height, width))
