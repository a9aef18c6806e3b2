"""Colours of methods in the pictures of the report, each readable on light and on dark paper."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hashpipe.hashing.evaluation.method_names import is_learnt

# name -> on light paper, on dark paper
PALETTE = {
    "learnt": ("#b03a22", "#ff8f76"), "itq": ("#2265a8", "#7ab4ee"), "pca": ("#2b7d2b", "#77cc77"),
    "pca-rr": ("#85503f", "#cf9d8e"), "lsh": ("#6b6b6b", "#adadad"), "sh": ("#7d52ab", "#c3a5e8"),
    "phash": ("#7d7700", "#d3ce55"), "cslbp": ("#0b7a88", "#57d3e0"), "float": ("#333333", "#dddddd"),
    "other": ("#a35c00", "#f0a850"), "right": ("#17704f", "#4cc79d"), "wrong": ("#6b6b6b", "#adadad"),
}  # fmt: skip
INK = "#0a0b00"  # drawn in this, text and axes take the colour of the page's text
_MARKS = {name: f"#0a0b{number:02x}" for number, name in enumerate(PALETTE, 1)}


@dataclass(frozen=True)
class KeyLine:
    """One line of the key beside the pictures."""

    method: str
    colour: str
    dash: str


def mark(name: str) -> str:
    """What matplotlib draws a colour in, until `with_variables` turns it into one that follows light and dark."""
    return _MARKS[name]


def of_method(method: str) -> str:
    """Name of a method's colour."""
    base = method.split("/")[0]
    return "learnt" if is_learnt(base) else base if base in PALETTE else "other"


def with_variables(svg: str) -> str:
    """A drawing whose colours are variables of the page's style sheet."""
    svg = svg.replace(INK, "currentColor")
    for name, colour in _MARKS.items():
        svg = svg.replace(colour, f"var(--of-{name})")
    return svg


def style() -> str:
    """The variables, for light and for dark paper."""
    light, dark = (" ".join(f"--of-{name}: {both[at]};" for name, both in PALETTE.items()) for at in (0, 1))
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def dash(method: str) -> str:
    """How a method's line is drawn: solid, dashed where it is a variant, dotted for the descriptor itself."""
    return "dashed" if method.endswith("/recentred") else "dotted" if method.split("/")[0] == "float" else "solid"


def key(methods: Iterable[str]) -> list[KeyLine]:
    return [KeyLine(method, f"var(--of-{of_method(method)})", dash(method)) for method in dict.fromkeys(methods)]
