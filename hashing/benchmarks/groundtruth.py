"""Published ground truth: MATLAB files, Oxford text files, pickles of revisited Oxford and Paris."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.matlab import load_matlab
from hashpipe.common.safe_pickle import load_file
from hashpipe.common.text import read_text


@dataclass(frozen=True)
class GroundTruth:
    """names: database photos without suffix. Per query: its photo, the box that is the query (left, top, right, bottom
    in pixels, or None), and database rows (0-based) by label: `positive` and `junk`, or `easy`, `hard` and `junk`."""

    names: tuple[str, ...]
    queries: tuple[str, ...]
    boxes: tuple[tuple[float, float, float, float] | None, ...]
    rows: dict[str, list[np.ndarray]]

    def select(self, *labels: str) -> list[np.ndarray]:
        """Rows of any of the labels, per query, int64."""
        return [
            np.concatenate([np.empty(0, np.int64), *(self.rows[label][q] for label in labels)])
            for q in range(len(self.queries))
        ]


def read_matlab(path: Path) -> GroundTruth:
    """gnd_*.mat: feature_name, query_list (name, row, label) and gnd with 1-based `ok`, `junk` and, for some, `bbx`."""
    try:
        content = load_matlab(path)
        names = tuple(str(cell[0]) for cell in content["feature_name"].ravel())
        queries = tuple(str(row[0][0]) for row in content["query_list"])
        entries = content["gnd"].ravel()
        rows = {
            label: [entry[key].astype(np.int64).ravel() - 1 for entry in entries]
            for label, key in (("positive", "ok"), ("junk", "junk"))
        }
        has_box = "bbx" in (content["gnd"].dtype.names or ())
        boxes = [_box(entry["bbx"].ravel()) if has_box else None for entry in entries]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; check the path.") from None
    except Exception as error:  # the reader raises many kinds for damaged files
        raise UserError(
            f"{path} is not ground truth in the known MATLAB layout ({error}); download it again."
        ) from None
    return _checked(path, GroundTruth(names, queries, tuple(boxes), rows))


def read_oxford(folder: Path, names: Sequence[str]) -> GroundTruth:
    """Text files of Oxford5k and Paris6k: NAME_query.txt with _good, _ok, _junk beside it; `names` of all photos."""
    row = {name: i for i, name in enumerate(names)}
    files = sorted(Path(folder).rglob("*_query.txt"))
    if not files:
        raise UserError(f"{folder} holds no *_query.txt; unpack the ground truth files there.")
    queries, boxes = [], []
    rows: dict[str, list[np.ndarray]] = {"positive": [], "junk": []}
    for file in files:
        name, *numbers = _read(file).split() or [""]
        try:
            boxes.append(_box([float(number) for number in numbers]))
        except ValueError:
            raise UserError(f"{file} should hold a photo name and four numbers; download it again.") from None
        queries.append(name.removeprefix("oxc1_"))
        for label, parts in (("positive", ("good", "ok")), ("junk", ("junk",))):
            listed = [one for part in parts for one in _read(Path(str(file).replace("_query", f"_{part}"))).split()]
            unknown = [one for one in listed if one not in row]
            if unknown:
                raise UserError(
                    f"{file} refers to {len(unknown)} photos that are missing, such as {unknown[0]}; complete them."
                )
            rows[label].append(np.array([row[one] for one in listed], dtype=np.int64))
    return _checked(folder, GroundTruth(tuple(names), tuple(queries), tuple(boxes), rows))


def read_revisited(path: Path) -> GroundTruth:
    """gnd_roxford5k.pkl, gnd_rparis6k.pkl by the restricted reader: imlist, qimlist, gnd (bbx, easy, hard, junk)."""
    content = load_file(path)
    try:
        names, queries = (tuple(str(name) for name in content[key]) for key in ("imlist", "qimlist"))
        entries: list[dict[str, Any]] = list(content["gnd"])
        rows = {
            label: [np.asarray(entry[label], dtype=np.int64).ravel() for entry in entries]
            for label in ("easy", "hard", "junk")
        }
        boxes = tuple(
            _box(np.asarray(entry["bbx"], dtype=float).ravel()) if "bbx" in entry else None for entry in entries
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} lacks parts of revisited Oxford and Paris ({error!r}); download it again.") from None
    return _checked(path, GroundTruth(names, queries, boxes, rows))


def _checked(path: Path, found: GroundTruth) -> GroundTruth:
    if not found.queries or any(len(rows) != len(found.queries) for rows in found.rows.values()):
        raise UserError(f"{path} has {len(found.queries)} queries and other numbers of labels; download it again.")
    for label, rows in found.rows.items():
        for query, listed in zip(found.queries, rows, strict=True):
            outside = listed[(listed < 0) | (listed >= len(found.names))]
            if len(outside):
                raise UserError(
                    f"{path}: {label} of query {query} names photo {int(outside[0])}, past its list of "
                    f"{len(found.names)} photos; download it again."
                )
    return found


def _box(numbers: Any) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(number) for number in numbers)
    return left, top, right, bottom


def _read(file: Path) -> str:
    if not file.exists():
        raise UserError(f"{file} is missing; unpack all ground truth files there.")
    return read_text(file)
