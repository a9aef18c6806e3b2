"""Best and worst queries of a protocol and their first photos, right and wrong ones marked, for the report."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from hashpipe.common.hamming import hamming
from hashpipe.hashing.benchmarks.protocols import Protocol
from hashpipe.hashing.data.images import ImageList
from hashpipe.hashing.evaluation.scoring import Coded
from hashpipe.pairgen.photos.jpegs import as_uri
from hashpipe.pairgen.photos.load import UnreadablePhoto

THUMBNAIL = 120  # pixels, longest side
SHOWN = 8  # photos per query


def query_rows(
    protocol: Protocol, coded: Coded, values: np.ndarray, images: ImageList, each: int = 6
) -> list[dict[str, Any]]:
    """The `each` worst and best queries by `values` float (Q,), nan left out; ties in the ranking in order of the
    database.

    One dictionary per query: protocol, method, bits, kind (best | worst), value, query and hits (name, thumbnail,
    distance, mark: right | wrong | junk).
    """
    order = [int(q) for q in np.argsort(values, kind="stable") if not np.isnan(values[q])]
    worst = order[:each]
    best = [q for q in reversed(order) if q not in worst][:each]
    rows = []
    for kind, chosen in (("worst", worst), ("best", best)):
        for q in chosen:
            rows.append(
                {
                    "protocol": protocol.name,
                    "method": coded.method,
                    "bits": coded.bits,
                    "kind": kind,
                    "value": float(values[q]),
                    "query": _shown(images, int(protocol.queries[q])),
                    "hits": _hits(protocol, coded, q, images),
                }
            )
    return rows


def _hits(protocol: Protocol, coded: Coded, query: int, images: ImageList) -> list[dict[str, Any]]:
    if coded.bits is None:
        distance = -(coded.database @ coded.queries[query])
    else:
        distance = hamming(coded.queries[query], coded.database)
    relevant, _, junk = protocol.relevance.of(query)
    right, ignored = set(relevant.tolist()), set(junk.tolist())
    first = np.argsort(distance, kind="stable")[:SHOWN].tolist()
    return [
        {
            **_shown(images, int(protocol.database[row])),
            "distance": round(float(distance[row]), 3) if coded.bits is None else int(distance[row]),
            "mark": "right" if row in right else "junk" if row in ignored else "wrong",
        }
        for row in first
    ]


def _shown(images: ImageList, row: int) -> dict[str, Any]:
    return {"name": images.names[row], "thumbnail": thumbnail(images, row)}


def thumbnail(images: ImageList, row: int, side: int = THUMBNAIL) -> str:
    """A photo as a data: address of a small JPEG; an empty text where it cannot be read."""
    try:
        picture = images.open(row, side)
    except (UnreadablePhoto, OSError):
        return ""
    if max(picture.size) < side // 2:  # tiny benchmark images, shown enlarged without blur
        scale = side // 2 / max(picture.size)
        picture = picture.resize(
            (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.NEAREST
        )
    return as_uri(picture)
