"""Groups as CSV, JSON and one page that works offline, with small pictures in a folder beside it."""

from __future__ import annotations

import csv
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.environment import cores
from hashpipe.common.extras import optional
from hashpipe.common.files import atomic_path, write_json, write_text
from hashpipe.common.pages import fill
from hashpipe.common.progress import stage
from hashpipe.hashing.duplicates.copies import AGREE
from hashpipe.hashing.duplicates.grouping import NAMES, Grouping
from hashpipe.hashing.duplicates.options import GroupsOptions
from hashpipe.hashing.duplicates.rules import HASH_RADIUS, KINDS, STACK, Group
from hashpipe.hashing.features.preprocess import in_threads
from hashpipe.pairgen.photos.jpegs import as_jpeg
from hashpipe.pairgen.photos.same import small_same

PICTURE_SIDE = 240  # pixels of the longest side
PICTURES = 24  # of one group on the page; more are listed by name
NAMED = 300  # photos of one group that the page knows; all are in the CSV file

_COLUMNS = (
    "kind",
    "group",
    "best",
    "photo",
    "path",
    "distance",
    "stands_for",
    "taken_at",
    "width",
    "height",
    "bytes",
    "sharpness",
    "place",
    "sha256",
    "copy",
)
_TEXTS = {
    "exact": "The same bytes in several files.",
    "stack": "Photos that you have put together with `hashpipe groups stack`. Each is shown by the one named first.",
    "near": "One shot in several files: {copies}. {near} Photos whose capture times differ are not near-duplicates. "
    "{more}",
    "burst": "Shots of one camera with pauses of at most {seconds:g} s whose codes lie within {radius} of {bits} bits "
    "of the group's centre. {with_time} of {photos} photos have a capture time.",
    "place": "Codes within {radius} of {bits} bits of the group's centre, or a similar pair by 3D geometry; photos "
    "that 3D puts into different places are kept apart. {with_place} of {photos} photos have a place by 3D. {chance}",
}


def write_reports(folder: Path, found: Grouping, options: GroupsOptions) -> None:
    """Write groups.csv, groups.json, groups.html and the pictures that the page shows into a folder."""
    records = [_record(found, number, group, stands) for number, group, stands in _numbered(found)]
    _write_csv(folder / "groups.csv", records)
    (folder / "groups.html").unlink(missing_ok=True)  # of other groups: the new one may fail
    write_json(
        folder / "groups.json",
        {"root": found.codeset.root, "rules": found.rules, "notes": found.notes, "groups": records},
    )
    with optional("The page of the groups", "the list in groups.csv and groups.json"):
        _write_page(folder, found, records, options)


def _numbered(found: Grouping) -> list[tuple[int, Group, dict[int, int]]]:
    """Groups with their number within the kind, and how many photos of stricter groups each photo stands for."""
    stands: dict[int, int] = {}
    numbered = []
    for kind in ("exact", STACK, *KINDS[1:]):
        groups = found.of(kind)
        numbered += [
            (number, group, {row: stands.get(row, 0) for row in group.rows}) for number, group in enumerate(groups, 1)
        ]
        for group in groups:
            stands[group.rows[0]] = sum(1 + stands.get(row, 0) for row in group.rows) - 1
    return numbered


def _record(found: Grouping, number: int, group: Group, stands: dict[int, int]) -> dict[str, Any]:
    metadata, codeset = found.metadata, found.codeset
    photos = []
    for at, row in enumerate(group.rows):
        sharp = float(found.sharpness[row])
        photos.append(
            {
                "photo": int(codeset.photos[row]),
                "path": str(codeset.path(row)),
                "best": at == 0,
                "distance": group.distance[at],
                "stands_for": stands[row],
                "taken_at": _moment(float(metadata.taken[row])),
                "width": int(metadata.size[row, 0]),
                "height": int(metadata.size[row, 1]),
                "bytes": int(metadata.bytes[row]),
                "sharpness": None if np.isnan(sharp) else round(sharp, 1),
                "place": int(metadata.place[row]),
                "sha256": codeset.sha256[row],
                "copy": found.copy_words(group, row),
            }
        )
    centre = str(codeset.path(group.centre))
    return {"kind": group.kind, "group": number, "why_best": group.why, "centre": centre, "photos": photos}


def _write_csv(path: Path, records: list[dict[str, Any]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors="replace") as file:
        table = csv.DictWriter(file, _COLUMNS)
        table.writeheader()
        for record in records:
            for photo in record["photos"]:
                values = {**photo, "best": "yes" if photo["best"] else ""}
                table.writerow({"kind": record["kind"], "group": record["group"], **values})


def _write_page(folder: Path, found: Grouping, records: list[dict[str, Any]], options: GroupsOptions) -> None:
    shown = [record for record in records if record["group"] <= options.shown]
    wanted = {photo["sha256"]: Path(photo["path"]) for record in shown for photo in record["photos"][:PICTURES]}
    pictures = _pictures(folder / "pictures", wanted, options.workers)
    sections = []
    for kind in (*KINDS, STACK) if found.of(STACK) else KINDS:
        groups = found.of(kind)
        cards = [_card(record, pictures, found.rules["radius"]) for record in shown if record["kind"] == kind]
        count = sum(len(group.rows) for group in groups)
        sections.append(
            {"kind": kind, "title": NAMES[kind].capitalize(), "text": _text(found, kind), "groups": len(groups)}
            | {"photos": count, "cards": cards}
        )
    page = fill(
        "hashpipe.hashing.duplicates",
        "groups.html",
        photos=len(found.codeset),
        grouped=len({row for group in found.groups for row in group.rows}),
        rules=found.rules,
        notes=found.notes,
        sections=sections,
        shown=options.shown,
    )
    write_text(folder / "groups.html", page)


def _card(record: dict[str, Any], pictures: set[str], radius: int) -> dict[str, Any]:
    """What the page needs of a group, short: names, links and metadata."""
    photos = []
    for photo in record["photos"][:NAMED]:
        picture = f"pictures/{_name(photo['sha256'])}" if photo["sha256"] in pictures else ""
        size = f"{photo['width']} × {photo['height']} pixels" if photo["width"] else "not readable"
        words = [photo["copy"], size, _bytes(photo["bytes"]), (photo["taken_at"] or "").replace("T", " ")]
        if record["kind"] != "exact":
            away = f"{photo['distance']} bit{'' if photo['distance'] == 1 else 's'} away"
            words.append(away + (" (by 3D)" if photo["distance"] > radius else ""))
        words.append(f"represents {photo['stands_for']} more" if photo["stands_for"] else "")
        path = Path(photo["path"])
        link = path.absolute().as_uri()
        photos.append([path.name, str(path), link, picture, " · ".join(word for word in words if word)])
    return {"number": record["group"], "count": len(record["photos"]), "why": record["why_best"], "photos": photos}


def _text(found: Grouping, kind: str) -> str:
    rules = found.rules
    copies, more = "resized, compressed again, lightened, mirrored, or cropped by up to a fifth of each side", ""
    near = f"Codes within {rules['near_radius']} of {rules['bits']} bits of the group's centre"
    if rules["look"] != "off":
        near += f" or perceptual hashes within {HASH_RADIUS} of 63 bits, of the mirrored photo and of parts too; and "
        near += f"grey copies that agree part by part by {AGREE:g} (1 is equal), laid exactly over each other"
    if rules["look"] == "match":
        copies += "; cropped further and turned"
        near += "; or codes so near, and features that match as one picture moved, turned or scaled"
    if rules["look"] == "quick":
        more = "Copies that are cropped further or turned are among the places where their codes are near; "
        more += "--look match tells them apart."
    near = f"{near}." if rules["near_radius"] is not None else "Not searched for: photos were not compared."
    chance = ""
    if rules["false_match_rate"] is not None:
        wrong = rules["false_match_rate"] * len(found.codeset)
        chance = (
            f"At this radius {rules['false_match_rate']:.2g} of all comparisons of different places match by chance: "
            f"with {len(found.codeset)} photos about {wrong:.2g} wrong neighbours per photo."
        )
    return _TEXTS[kind].format(
        near=near,
        copies=copies,
        more=more,
        seconds=rules["burst_seconds"],
        radius=rules["radius"],
        bits=rules["bits"],
        with_time=rules["with_time"],
        with_place=rules["with_place"],
        photos=len(found.codeset),
        chance=chance,
    )


def _pictures(folder: Path, wanted: dict[str, Path], workers: int) -> set[str]:
    """Write the small pictures that are missing, remove those of other groupings; the contents that have one."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {_name(sha): sha for sha in wanted}
    there = {path.name for path in folder.iterdir()}
    for name in there - set(names):
        if re.fullmatch(r"[0-9a-f]{24}\.jpg", name):  # and nothing else that somebody put there
            (folder / name).unlink()
    missing = [sha for name, sha in names.items() if name not in there]
    made = {sha for name, sha in names.items() if name in there}
    drawn = in_threads(lambda at: _picture(wanted[missing[at]], missing[at]), len(missing), workers or cores())
    with stage("pictures", len(missing), "photos") as advance:
        for sha, data in zip(missing, drawn, strict=True):
            if data:
                with atomic_path(folder / _name(sha)) as temporary:
                    temporary.write_bytes(data)
                made.add(sha)
            advance(1)
    return made


def _picture(path: Path, sha256: str) -> bytes:
    picture = small_same(path, sha256, PICTURE_SIDE)
    return b"" if picture is None else as_jpeg(picture)


def _name(sha256: str) -> str:
    return f"{sha256[:24]}.jpg"


def _moment(seconds: float) -> str | None:
    if np.isnan(seconds):
        return None
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat(timespec="seconds")


def _bytes(count: int) -> str:
    return "" if not count else f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
