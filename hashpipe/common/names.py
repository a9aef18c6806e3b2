"""Names of files as people and systems write them: é as one letter or as two, \\ for /, quotes round a path."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

_QUOTED = re.compile(r"""\s*(["'])(.+)\1\s*""")
_ODD = re.compile(r"""[^\x00-\x7f]|\\|^\s*["']|\s$|^file:""")  # without any of it a name needs no second look


def same_letters(name: str) -> str:
    """A name with composed letters (Unicode's form C), for comparing: macOS hands them out decomposed."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def on_disk(path: Path) -> Path:
    """The path under which a file is there, where its letters are composed otherwise; the path as it is if nowhere."""
    path = Path(path)
    if str(path).isascii() or os.path.lexists(path):
        return path
    parent = on_disk(path.parent)
    wanted = same_letters(path.name)
    try:
        alike = sorted(name for name in os.listdir(parent) if same_letters(name) == wanted)
    except OSError:
        return path
    return parent / alike[0] if alike else path


def as_listed(base: Path, text: str) -> str:
    """The name of the file that an entry of a list means, relative to `base` or absolute.

    Tried in this order: as it is written; without quotes and blanks round it; a file: address; with / for \\; each with
    letters composed as on disk. Where none of them is there, the entry as it is written.
    """
    if not _ODD.search(text):
        return text
    quoted = _QUOTED.fullmatch(text)
    bare = quoted[2] if quoted else text.strip()
    forms = [text, bare, *([unquote(urlsplit(bare).path)] if bare.startswith("file:") else []), bare.replace("\\", "/")]
    for form in dict.fromkeys(forms):
        try:
            found = on_disk(Path(base) / form)
            if form and os.path.lexists(found):
                return str(found) if os.path.isabs(form) else str(found.relative_to(base))
        except ValueError:  # a zero in it
            continue
    return text


def first_of_each(names: Iterable[str]) -> dict[str, str]:
    """For every name the first one that is written with the same letters."""
    first: dict[str, str] = {}
    return {name: first.setdefault(same_letters(name), name) for name in names}


def short_enough(name: str, longest: int) -> str:
    """A POSIX path whose folders and file are at most `longest` bytes each, as file systems want them.

    A part that is longer keeps its beginning and its suffix, with eight hexadecimal digits of its SHA-256 between them.
    """
    return "/".join(part if len(part.encode()) <= longest else _cut(part, longest) for part in name.split("/"))


def _cut(part: str, longest: int) -> str:
    mark = "~" + hashlib.sha256(part.encode()).hexdigest()[:8]
    suffix = os.path.splitext(part)[1]
    suffix = suffix if len(suffix.encode()) <= 16 else ""
    kept = part.encode()[: longest - len(mark) - len(suffix.encode())]
    return kept.decode(errors="ignore") + mark + suffix
