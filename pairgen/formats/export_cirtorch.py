"""A PairSet as a training database of cirtorch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from hashpipe.common.files import atomic_folder, atomic_path
from hashpipe.common.safe_pickle import dump_plain
from hashpipe.pairgen.formats.cirtorch import cid_path
from hashpipe.pairgen.formats.exported import ExportSummary, choose, missing_note, put_photo, write_table
from hashpipe.pairgen.formats.options import ExportOptions
from hashpipe.pairgen.matching.candidates import component_labels
from hashpipe.pairgen.pairs.pairset import PairSet


def export_cirtorch(pairset: PairSet, out: Path, options: ExportOptions) -> ExportSummary:
    """NAME/NAME.pkl and NAME/ims/..: similar pairs in both directions; clusters are places, related ones united.

    cirtorch takes every photo of another cluster for a negative. Photos without a place are therefore left out, and so
    are queries and the test split.
    """
    cluster = _clusters(pairset)
    shas, paths, names = pairset.photos["sha256"].to_pylist(), pairset.photo_paths(), pairset.photos["path"].to_pylist()
    database: dict[str, dict[str, list]] = {}
    counts = {"photos": 0, "similar": 0, "dissimilar": 0}
    missing = turned = 0
    table: list[tuple[str, ...]] = [("cid", "path", "split", "cluster")]
    with atomic_folder(out) as folder:
        for mode in ("train", "val"):
            chosen = choose(pairset, (mode,), queries=False)
            photos = chosen.photos[cluster[chosen.photos] >= 0].tolist()
            number = {photo: row for row, photo in enumerate(photos)}
            cids = [_cid(names[photo], shas[photo]) for photo in photos]
            similar = np.stack([chosen.a, chosen.b], axis=1)[chosen.label > 0].tolist()
            both = [pair for a, b in similar for pair in ((number[a], number[b]), (number[b], number[a]))]
            database[mode] = {
                "cids": cids,
                "cluster": [int(cluster[photo]) for photo in photos],
                "qidxs": [q for q, _ in both],
                "pidxs": [p for _, p in both],
            }
            counts["photos"] += len(photos)
            counts["similar"] += len(similar)
            for photo, cid in zip(photos, cids, strict=True):
                table.append((cid, names[photo], mode, str(cluster[photo])))
                missing += not put_photo(paths[photo], folder / "ims" / cid_path(cid), options.photos)
                turned += int(pairset.photos["orientation"][photo].as_py() or 1) > 1
        with atomic_path(folder / f"{out.name}.pkl") as temporary:
            temporary.write_bytes(dump_plain(database))
        write_table(folder / "cids.csv", table)
    notes = [
        "Held-out queries, test places and photos without a place are not in it.",
        "No dissimilar pairs are in it, because cirtorch draws them itself from photos of other clusters.",
    ]
    if not out.name.startswith("retrieval-SfM"):
        notes.append("cirtorch reads DATA/train/NAME/NAME.pkl only where NAME begins with retrieval-SfM; rename it so.")
    if turned:
        notes.append(f"{turned} photos are turned by their EXIF orientation, which cirtorch does not read.")
    return ExportSummary(out, "cirtorch", **counts, notes=(*notes, *missing_note(missing, options)))


def _cid(name: str, sha256: str) -> str:
    """The first half of the photo's SHA-256, 32 letters as in published databases; an imported id stays what it was."""
    kept = name.rsplit("/", 1)[-1]
    if "/" in name and name == cid_path(kept):
        return kept
    return (sha256 or hashlib.sha256(name.encode()).hexdigest())[:32]


def _clusters(pairset: PairSet) -> np.ndarray:
    """Places, those that are related united, int64 (photos,); -1 none."""
    place = pairset.photo_column("place").astype(np.int64)
    count = int(place.max(initial=-1)) + 1
    related = np.stack([pairset.relations[name].to_numpy() for name in ("place_a", "place_b")], axis=1)
    group = component_labels(count, related)
    return np.where(place >= 0, group[place] if count else -1, -1)
