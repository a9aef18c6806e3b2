"""The calibration of a model on a collection: what each radius costs, and the radius that search uses by default."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import read_json, write_json
from hashpipe.common.progress import say
from hashpipe.hashing.codes.codes_file import CodeSpace

CALIBRATION_VERSION = 1
FILE = "calibration.json"


@dataclass(frozen=True)
class Calibration:
    """Rates for radius 0 .. bits (a photo counts as found at distance <= radius), and the suggested radius.

    expected          false-match rate to count on: `false` where it was observed often enough, continued below that
    false, false_low, false_high     share of comparisons of different places within the radius, with 95 % interval
    recall, recall_low, recall_high  share of similar photos within the radius; empty where there were none
    look_alikes       share of hard negatives within the radius; empty where there were none
    radius            largest whose expected rate stays within `wanted`
    sure              the upper bound of the rate stays within `wanted` too
    photos            size of the collection that false matches per query are counted for
    similar_per_query mean number of similar photos that a query has
    measured_on       which photos, how many, how many comparisons: for people
    """

    model: str
    space: str
    bits: int
    wanted: float
    radius: int
    sure: bool
    expected: tuple[float, ...]
    false: tuple[float, ...]
    false_low: tuple[float, ...]
    false_high: tuple[float, ...]
    recall: tuple[float, ...]
    recall_low: tuple[float, ...]
    recall_high: tuple[float, ...]
    look_alikes: tuple[float, ...]
    photos: int
    similar_per_query: float
    pairs: str
    measured_on: dict[str, Any]
    notes: tuple[str, ...] = ()

    def false_match_rate(self, radius: int) -> float:
        """Expected share of comparisons of different places within the radius, which is clipped to 0 .. bits."""
        return self.expected[int(np.clip(radius, 0, self.bits))]

    def false_matches_per_query(self, radius: int) -> float:
        """Expected photos of other places within the radius of one query in this collection."""
        return self.false_match_rate(radius) * self.photos

    def as_json(self) -> dict[str, Any]:
        return {"calibration_version": CALIBRATION_VERSION, **asdict(self)}


def write_calibration(workspace: Path, calibration: Calibration) -> None:
    """Write WORKSPACE/calibration.json, whole or not at all."""
    write_json(Path(workspace) / FILE, calibration.as_json())


def read_calibration(workspace: Path, space: CodeSpace) -> Calibration | None:
    """The calibration of a workspace; None where there is none for codes of this space (and then it says so).

    Raises UserError for a damaged file.
    """
    path = Path(workspace) / FILE
    if not path.exists():
        return None
    stored = read_json(path)
    try:
        version = stored.pop("calibration_version")
        if version != CALIBRATION_VERSION:
            say(f"{path} is of version {version} and is not used; run `hashpipe calibrate` again")
            return None
        tables = {name: tuple(value) for name, value in stored.items() if isinstance(value, list)}
        calibration = Calibration(**{**stored, **tables})
        whole = (
            len(calibration.expected) == len(calibration.false) == calibration.bits + 1
            and 0 <= calibration.radius <= calibration.bits
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a calibration ({error}); run `hashpipe calibrate` again.") from None
    if not whole:
        raise UserError(f"{path} contradicts itself; run `hashpipe calibrate` again.")
    if calibration.space != space.fingerprint:
        say(f"{path} belongs to other codes and is not used; run `hashpipe calibrate` again")
        return None
    return calibration
