"""Groups of photos: exact duplicates, near-duplicates, bursts, places. Nothing is ever deleted.

Codes, capture times and, where pairs were built, 3D geometry decide (`kinds`); every group holds together around one
photo (`cluster`). Written are groups.csv, groups.json and groups.html with its folder of small pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashpipe.common.errors import UserError
from hashpipe.common.files import locked, open_workspace
from hashpipe.common.known_files import FILE, KnownFiles
from hashpipe.common.progress import say
from hashpipe.hashing.calibration.calibration import Calibration, read_calibration
from hashpipe.hashing.codes.codes_file import CodeSet, read_codes
from hashpipe.hashing.data.listing import shown
from hashpipe.hashing.duplicates import appearance
from hashpipe.hashing.duplicates.copies import Copies, find_copies
from hashpipe.hashing.duplicates.decisions import Decisions, read_decisions
from hashpipe.hashing.duplicates.grouping import NAMES, Grouping
from hashpipe.hashing.duplicates.metadata import gather
from hashpipe.hashing.duplicates.options import GroupsOptions
from hashpipe.hashing.duplicates.rules import KINDS, STACK, Appearances, Rules, Same, all_groups
from hashpipe.hashing.features.quality import LOW
from hashpipe.pairgen.pairs.pairset import PairSet, read_pairset


@dataclass(frozen=True)
class GroupsResult:
    """Counts for people and the folder that holds the rest."""

    folder: Path
    photos: int
    counts: dict[str, tuple[int, int]]  # kind -> groups, photos in them
    rules: dict[str, Any]
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        counts = {kind: {"groups": groups, "photos": photos} for kind, (groups, photos) in self.counts.items()}
        return {
            "folder": self.folder,
            "photos": self.photos,
            "groups": counts,
            "rules": self.rules,
            "notes": self.notes,
            "files": [name for name in ("groups.csv", "groups.json", "groups.html") if (self.folder / name).exists()],
        }

    def as_text(self) -> str:
        lines = [f"{self.photos} photos, groups within {self.rules['radius']} of {self.rules['bits']} bits:"]
        lines += [
            f"  {NAMES[kind]:<18}{count:>7} group{'s'[: count != 1]} of {inside} photos"
            for kind, (count, inside) in self.counts.items()
        ]
        page = self.folder / "groups.html"
        shown = f"{page} shows them" if page.exists() else f"{self.folder / 'groups.csv'} lists them"
        return "\n".join([*lines, *self.notes, f"{shown}; nothing was deleted"])


def groups(workspace: Path, options: GroupsOptions) -> GroupsResult:
    """Group the photos of a codes file and write CSV, JSON and a page. Raises UserError where there are no codes."""
    from hashpipe.hashing.duplicates.report import write_reports

    workspace = open_workspace(workspace, create=False)
    codeset = read_codes(options.codes or workspace / "codes.parquet")
    if not options.force:
        _refuse_away(codeset, options.codes or workspace / "codes.parquet")
    folder = _own_folder(options.output or workspace / "groups")
    with locked(folder):
        pairs = workspace / "pairs"
        pairset = read_pairset(pairs) if (pairs / "meta.json").exists() else None
        calibration = read_calibration(workspace, codeset.space)
        known, decisions = KnownFiles(workspace / FILE), read_decisions(workspace)
        found = find_groups(codeset, options, pairset, calibration, folder / "looks", known, decisions)
        write_reports(folder, found, options)
    kinds = (*KINDS, STACK) if found.of(STACK) else KINDS
    counts = {kind: (len(found.of(kind)), sum(len(one.rows) for one in found.of(kind))) for kind in kinds}
    return GroupsResult(folder, len(codeset), counts, found.rules, found.notes)


def _refuse_away(codeset: CodeSet, source: Path) -> None:
    """Raise UserError where more than half of the photos are away: groups of codes alone would replace better ones."""
    away = [row for row in range(len(codeset)) if not codeset.path(row).exists()]
    if 2 * len(away) > len(codeset):
        first = shown(str(codeset.path(away[0])))
        raise UserError(
            f"{len(away)} of the {len(codeset)} photos of {source} are away, such as {first}; "
            "put them back, or give --force to group them by their codes alone."
        )


def _own_folder(folder: Path) -> Path:
    """Check that the folder is new, empty or one of ours: old pictures are removed from it."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name another place with -o.")
    ours = {"groups.csv", "groups.json", "groups.html", "pictures", "looks", ".lock"}
    ours |= {"against.csv", "against.json"}
    there = list(folder.iterdir()) if folder.exists() else []
    others = [path for path in there if path.name not in ours and not path.name.startswith(".")]
    if others and not (folder / "groups.json").exists():
        raise UserError(f"{folder} holds other files; name a new or empty folder with -o.")
    return folder


def find_groups(
    codeset: CodeSet,
    options: GroupsOptions,
    pairset: PairSet | None = None,
    calibration: Calibration | None = None,
    cache: Path | None = None,
    known: KnownFiles | None = None,
    decisions: Decisions | None = None,
) -> Grouping:
    """The groups of a code set; a PairSet adds geometry, a calibration the radius.

    `cache` keeps what was seen, `known` says which files are as they were, `decisions` what a person has said. A photo
    that has changed since it was encoded counts as one that is not there: nothing but its code is known.
    """
    radius, source = _radius(codeset, options, calibration)
    paths = [codeset.path(row) for row in range(len(codeset))]
    states = (known or KnownFiles()).states(paths, codeset.sha256, guess=options.look == "off")
    changed = np.array([state == "changed" for state in states], bool)
    metadata = gather(codeset, pairset, options.workers, np.isin(states, ("same", "unknown")))
    notes = []
    if changed.any():
        named = shown(codeset.paths[int(np.argmax(changed))]) + (", ..." if changed.sum() > 1 else "")
        notes.append(
            f"{int(changed.sum())} photos have changed since they were encoded ({named}); they are compared by their "
            "codes alone, encode again."
        )
    if gone := int(((metadata.pixels == 0) & ~changed).sum()):
        notes.append(f"{gone} photos cannot be read at their paths; they are compared by their codes alone.")
    sharpness = np.full(len(codeset), np.nan, np.float32)
    appearances: Appearances | None = None
    same: Same | None = None
    hashes: np.ndarray | None = None
    links: np.ndarray | None = None
    copies: Copies | None = None
    if options.look != "off" and metadata.pixels.any():
        seen = appearance.appearances(codeset, np.arange(len(codeset)), cache, options.workers)
        appearances, sharpness = seen.__getitem__, seen[:, 0].copy()  # a view would keep all grey copies, 4 kB a photo
        hashes = appearance.perceptual_hashes(np.nan_to_num(seen[:, 1:]))
        copies = find_copies(codeset, seen, radius, cache / "copies" if cache else None)
        same, links = copies.same(appearance.correlated(appearances, hashes, options.alike)), copies.links()
        if options.look == "match":
            from hashpipe.hashing.duplicates.copy_match import or_matched

            same = or_matched(same, codeset, radius, cache / "matched" if cache else None)
    elif options.near_radius is None:
        notes.append(
            "Photos were not compared (--look off): near-duplicates are among the places, because codes alone do not "
            "tell them from other photos of a place."
        )
    usable = codeset.quality >= LOW
    if not usable.all():
        notes.append(f"{int((~usable).sum())} flat or tiny photos are in no place: their codes are unreliable.")
    near_radius = radius if same else options.near_radius
    said = decisions or Decisions()
    apart, stacks = said.apart_rows(codeset), tuple(said.stack_rows(codeset))
    rules = Rules(
        radius, near_radius, options.burst_seconds, usable, hashes, ~np.isnan(sharpness), apart, stacks, links
    )
    found = all_groups(codeset, metadata, rules, appearances, same)
    metadata_known = {
        "bits": codeset.space.bits,
        "radius": radius,
        "radius_from": source,
        "near_radius": near_radius,
        "look": options.look if same else "off",
        "alike": options.alike if same else None,
        "burst_seconds": options.burst_seconds,
        "false_match_rate": calibration.false_match_rate(radius) if calibration else None,
        "pairs": pairset.fingerprint if pairset else None,
        "with_time": int(np.isfinite(metadata.taken).sum()),
        "with_place": int((metadata.place >= 0).sum()),
        "space": codeset.space.fingerprint,
    }
    return Grouping(codeset, metadata, found, sharpness, metadata_known, notes, copies)


def _radius(codeset: CodeSet, options: GroupsOptions, calibration: Calibration | None) -> tuple[int, str]:
    bits = codeset.space.bits
    if options.radius is not None:
        if options.radius > bits:
            raise UserError(f"--radius is {options.radius}, but codes have {bits} bits; give at most {bits}.")
        return options.radius, "given"
    if calibration is not None:
        return int(calibration.radius), "calibrated"
    say(f"no calibration: the radius is an eighth of the bits, {bits // 8}; `hashpipe calibrate` finds a better one")
    return bits // 8, "an eighth of the bits, not calibrated"
