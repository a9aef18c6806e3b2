"""COLMAP text models of any program, written anew as COLMAP itself reads them.

COLMAP cuts names at blanks and takes every second line of images.txt for 2D points. Other programs leave such lines
out where there are none, leave out tracks, colours and errors, or write other line ends and encodings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hashpipe.common.errors import UserError
from hashpipe.common.text import read_text

_NONE = "-1"  # the id that COLMAP gives a 2D point without a 3D one
_MOST_POINTS = 1_000_000  # 2D points of one image, where only tracks say how many
_POSE = 9  # values before a name: id, quaternion, translation, camera


@dataclass
class _Image:
    """An image: its id, what lies between id and name, its name, its 2D points (x, y, id of the 3D point or -1)."""

    number: str
    pose: list[str]
    name: str
    points: list[list[str]] = field(default_factory=list)


def is_text_model(folder: Path) -> bool:
    """Whether COLMAP would read the text files of a folder: it prefers a whole binary model."""
    return not all((folder / f"{name}.bin").is_file() for name in ("cameras", "images", "points3D"))


def rewrite_text_model(source: Path, target: Path) -> tuple[dict[str, str], list[int]]:
    """Write a text model into the folder `target` for COLMAP to read, its photos under coded names without blanks.

    Returns the real name of each coded one, and the ids of images whose 2D points are known from tracks only: these
    have no position in their photo yet. Raises UserError, with file and line, for what is no text model.
    """
    images = _read_images(source / "images.txt")
    points = _read_points(source / "points3D.txt")
    placeless = _complete(source, images, points)
    for name in ("cameras", "rigs", "frames"):
        if (source / f"{name}.txt").is_file():
            _write(target / f"{name}.txt", [" ".join(words) for _, words in _lines(source / f"{name}.txt")])
    lines = []
    for image in images:
        lines.append(" ".join([image.number, *image.pose, f"image{image.number}"]))
        lines.append(" ".join(" ".join(point) for point in image.points))
    _write(target / "images.txt", lines)
    _write(target / "points3D.txt", [" ".join(words) for words in points])
    return {f"image{image.number}": image.name for image in images}, placeless


def _read_images(path: Path) -> list[_Image]:
    images: list[_Image] = []
    numbers: set[str] = set()
    waits = False  # for the line of 2D points of the last image
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        words = line.split()
        if line.startswith("#") or (not words and not waits):
            continue
        if images and not images[-1].points and _are_points(words):
            images[-1].points = [words[at : at + 3] for at in range(0, len(words), 3)]
            waits = False
        elif _is_image(words):
            *head, name = line.split(maxsplit=_POSE)
            if head[0] in numbers:
                raise UserError(f"{path}:{number} gives the id {head[0]} to a second image; make the model again.")
            numbers.add(head[0])
            images.append(_Image(head[0], head[1:], name.strip()))
            waits = True
        else:
            raise UserError(
                f"{path}:{number} is neither an image (id, pose, camera and name) nor 2D points (x, y, id): "
                f"{line[:60]!r}; make the model again."
            )
    return images


def _is_image(words: list[str]) -> bool:
    return len(words) > _POSE and _whole(words[0]) and _whole(words[8]) and all(map(_real, words[1:8]))


def _are_points(words: list[str]) -> bool:
    """Whether words are triples of x, y and id; an empty line is an image without any."""
    if len(words) % 3 or not all(map(_whole, words[2::3])):
        return False
    return all(map(_real, (*words[::3], *words[1::3])))


def _read_points(path: Path) -> list[list[str]]:
    """Id, position, colour, error and track of every 3D point; colour and error are zeros where they are left out."""
    points = []
    for number, words in _lines(path):
        colour = [str(int(float(word))) if _real(word) else word for word in words[4:7]]
        whole = [*words[:4], *colour, *["0"] * (7 - max(4, len(words[:7]))), *(words[7:8] or ["0"]), *words[8:]]
        track = whole[8:]
        sound = len(words) >= 4 and _whole(whole[0]) and all(map(_real, (*whole[1:4], whole[7])))
        if not sound or len(track) % 2 or not all(map(_whole, (*whole[4:7], *track))):
            raise UserError(
                f"{path}:{number} is not a 3D point (id, x, y, z, colour, error, track): {' '.join(words)[:60]!r}; "
                "make the model again."
            )
        points.append(whole)
    return points


def _complete(source: Path, images: list[_Image], points: list[list[str]]) -> list[int]:
    """Tracks and 2D points say the same thing twice; where a program wrote one of them only, make the other.

    Returns the ids of images whose 2D points were made. Raises UserError where the two contradict each other.
    """
    by_number = {image.number: image for image in images}
    bare = {image.number for image in images if not image.points}
    seen: dict[str, list[str]] = {}
    for image in images:
        for at, (_, _, seen_point) in enumerate(image.points):
            seen.setdefault(seen_point, []).extend((image.number, str(at)))
    for words in points:
        words.extend([] if len(words) > 8 else seen.get(words[0], []))
        for number, row in zip(words[8::2], words[9::2], strict=True):
            listed = by_number[number].points if number in by_number else []
            if number in bare and 0 <= int(row) < _MOST_POINTS:
                listed.extend(["0", "0", _NONE] for _ in range(len(listed), int(row) + 1))
                listed[int(row)][2] = words[0]
            if not 0 <= int(row) < len(listed):
                raise UserError(
                    f"{source} is not a complete model: point {words[0]} of points3D.txt is seen in image {number} at "
                    f"2D point {row}, which images.txt does not have; make the model again."
                )
    known = {words[0] for words in points}
    for image in images:
        for point in image.points:
            if point[2] not in known:
                point[2] = _NONE
    return [int(number) for number in bare if by_number[number].points]


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and words of every line that is neither empty nor a comment."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.split()


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _whole(word: str) -> bool:
    return word.lstrip("-").isdigit()


def _real(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
