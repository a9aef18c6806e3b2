"""The demo: its folder of rendered photos, made once, and how the pairs found in them compare with the truth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_folder, check_name, make_folder, put_back, read_json, write_json
from hashpipe.pairgen.pairs.pairset import read_pairset
from hashpipe.pairgen.synthetic.demo_photos import DemoTruth, write_demo_photos


@dataclass(frozen=True)
class DemoCheck:
    """Pairs against the truth of the renderer.

    places          places rendered
    found           places of which at least three photos were put into one place of the PairSet
    registered      photos of places that are in a 3D model
    photos          photos of places, duplicates not counted
    similar, wrong_similar        similar pairs, and those of them that join two places
    dissimilar, wrong_dissimilar  dissimilar pairs, and those of them inside one place
    """

    places: int
    found: int
    registered: int
    photos: int
    similar: int
    wrong_similar: int
    dissimilar: int
    wrong_dissimilar: int

    def as_text(self) -> str:
        return (
            f"Against the truth of the renderer: {self.found} of {self.places} places found, {self.registered} of "
            f"{self.photos} photos in 3D, {self.wrong_similar} of {self.similar} similar pairs join two places, "
            f"{self.wrong_dissimilar} of {self.dissimilar} dissimilar pairs lie inside one."
        )


def prepare_photos(folder: Path, seed: int, **how: Any) -> Path:
    """Render the demo photos into `folder`/photos, or keep those of an earlier run; returns the photo folder.

    `how`: other arguments of `write_demo_photos`, for fewer or smaller photos.

    Raises UserError where the folder holds something else, or photos of another seed.
    """
    check_name(Path(folder))
    folder = make_folder(Path(folder))
    photos, record = folder / "photos", folder / "truth.json"
    put_back(photos)
    if photos.exists():
        if not record.exists():
            raise UserError(f"{photos} holds other files than demo photos; name a new folder with -o.")
        kept = read_json(record).get("seed")
        if kept != seed:
            raise UserError(f"{folder} holds the demo of --seed {kept}, not {seed}; name a new folder with -o.")
        return photos
    with atomic_folder(photos) as temporary:
        truth = write_demo_photos(temporary, seed=seed, **how)
        write_json(record, {"seed": seed, **asdict(truth)})  # before the photos: a photo folder without it is not ours
    return photos


def check_pairs(folder: Path, pairs_folder: Path) -> DemoCheck:
    """Compare a PairSet made from the demo photos of `folder` with what was rendered."""
    stored = read_json(Path(folder) / "truth.json")
    truth = DemoTruth(stored["place"], stored["duplicate_of"], tuple(stored["broken"]))
    return compare(truth, pairs_folder)


def example_query(photos: Path, pairs_folder: Path) -> Path:
    """A held-out photo with a similar one, to search for; any photo where there is none."""
    pairset = read_pairset(pairs_folder)
    a, b, label = (np.asarray(pairset.pair_column(name)) for name in ("a", "b", "label"))
    paired = np.union1d(a[label == 1], b[label == 1])
    held_out = np.flatnonzero(np.asarray(pairset.photo_column("query")))
    rows = np.intersect1d(paired, held_out)
    names = pairset.photos["path"].to_pylist()
    row = next(iter(rows), next(iter(np.flatnonzero(np.asarray(pairset.photo_column("status")) == "ok")), 0))
    return Path(photos) / names[int(row)]


def compare(truth: DemoTruth, pairs_folder: Path) -> DemoCheck:
    pairset = read_pairset(pairs_folder)
    names = [Path(path).name for path in pairset.photos["path"].to_pylist()]
    # a copy shows the place of its original; a broken file shows nothing
    place = np.array([truth.place.get(truth.duplicate_of.get(name, name), -1) for name in names])
    found, ok = pairset.photo_column("place"), pairset.photo_column("status") == "ok"
    together: set[int] = set()
    for one in set(found[found >= 0].tolist()):
        inside, counts = np.unique(place[(found == one) & ok & (place >= 0)], return_counts=True)
        together |= set(inside[counts >= 3].tolist())
    a, b, label = (pairset.pair_column(name) for name in ("a", "b", "label"))
    same = (place[a] == place[b]) & (place[a] >= 0)
    return DemoCheck(
        places=len({p for p in truth.place.values() if p >= 0}),
        found=len(together),
        registered=int((ok & (place >= 0) & (pairset.photo_column("model") >= 0)).sum()),
        photos=sum(p >= 0 for p in truth.place.values()),
        similar=int((label == 1).sum()),
        wrong_similar=int(((label == 1) & ~same).sum()),
        dissimilar=int((label == -1).sum()),
        wrong_dissimilar=int(((label == -1) & same).sum()),
    )
