"""The gallery of a search: one page that opens offline, with its thumbnails inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hashpipe.common.browser import open_page
from hashpipe.common.files import write_text
from hashpipe.common.pages import fill
from hashpipe.common.paths import expanded
from hashpipe.common.progress import stage
from hashpipe.hashing.search.geometric import MIN_INLIERS
from hashpipe.hashing.search.results import Hit, SearchResult
from hashpipe.pairgen.photos.jpegs import as_uri, small
from hashpipe.pairgen.photos.same import small_same

_SIDE = 256  # pixels, longest side of a thumbnail
_MOST_HITS = 200  # of one query; more make a page slow and are said to be left out


def write_and_open(result: SearchResult, path: Path) -> Path:
    """Write the page and show it in the browser; where none opens, it says where the page is. Returns the path."""
    write_page(result, path)
    open_page(path)
    return path


def write_page(result: SearchResult, path: Path) -> Path:
    """Write the page; returns the path."""
    write_text(path, render(result))
    return path


def render(result: SearchResult) -> str:
    """The page as text."""
    count = sum(min(len(hits), _MOST_HITS) for hits in result.hits)
    with stage("Thumbnails", count, "photos") as advance:
        queries = []
        for query, hits in zip(result.queries, result.hits, strict=True):
            shown = []
            for hit in hits[:_MOST_HITS]:
                shown.append(_shown(hit))
                advance(1)
            queries.append({"query": query, "thumbnail": _thumbnail(expanded(query), ""), "hits": shown})
    verifying = any(hit.inliers is not None for hits in result.hits for hit in hits)
    return fill(
        "hashpipe.hashing.search",
        "search.html",
        rule=_in_words(result),
        queries=queries,
        skipped=result.skipped,
        verifying=verifying,
    )


def _thumbnail(path: Path, sha256: str) -> str:
    """A photo as a data: address of a small JPEG; an empty text where it cannot be read, or has changed since."""
    picture = small_same(path, sha256, _SIDE) if sha256 else small(path, _SIDE)
    return "" if picture is None else as_uri(picture)


def _shown(hit: Hit) -> dict[str, Any]:
    return {
        "path": hit.path,
        "distance": hit.distance,
        "asymmetric": hit.asymmetric,
        "inliers": hit.inliers,
        "verified": hit.inliers is not None and hit.inliers >= MIN_INLIERS,
        "thumbnail": _thumbnail(Path(hit.path), hit.sha256 or ""),
    }


def _in_words(result: SearchResult) -> str:
    k, radius = result.rule["k"], result.rule["radius"]
    found = f"The {k} nearest photos" if radius is None else f"Photos within Hamming distance {radius}"
    found += " (calibrated radius)" if result.rule["source"] == "calibration" else ""
    most = max(map(len, result.hits), default=0)
    return found + (f"; the first {_MOST_HITS} of up to {most} are shown" if most > _MOST_HITS else "")
