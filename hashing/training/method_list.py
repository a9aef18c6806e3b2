"""The objectives as a list: what each needs, its head, its source, and whether its formula is sure."""

from __future__ import annotations

import re
import sys
import textwrap
from dataclasses import MISSING, asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any

from hashpipe.common.errors import UserError
from hashpipe.hashing.training.objectives import OBJECTIVES, objective_class
from hashpipe.hashing.training.objectives.base import NEEDS


@dataclass(frozen=True)
class Method:
    """One objective: needs are keys of NEEDS, options (name, default, meaning); about is its module's own page.

    uses_pairs: reads pairs from 3D where there are any, without needing them.
    """

    name: str
    idea: str
    needs: tuple[str, ...]
    uses_pairs: bool
    head: str
    source: str
    reconstruction: str
    options: tuple[tuple[str, Any, str], ...]
    about: str

    @property
    def sure(self) -> str:
        """ "sure", or "reconstruction" where the paper leaves open what is chosen here."""
        return "reconstruction" if self.reconstruction else "sure"

    @property
    def reads(self) -> str:
        """What it learns from, for lists."""
        return ", ".join(self.needs) or ("photos, pairs where known" if self.uses_pairs else "photos")

    def as_json(self) -> dict[str, Any]:
        listed = [dict(zip(("name", "default", "help"), one, strict=True)) for one in self.options]
        return {**asdict(self), "needs": list(self.needs), "options": listed, "sure": self.sure}

    def as_text(self) -> str:
        needs = "; ".join(f"{name} ({NEEDS[name]})" for name in self.needs) or self.reads
        lines = [self.about, "", f"Train with it: hashpipe train --objective {self.name}", f"Needs: {needs}."]
        lines += [f"Head: {self.head}.", f"Source: {plain(self.source)}."]
        lines += [f"Reconstruction: {self.reconstruction}."] if self.reconstruction else []
        lines += ["", "Options, as --set name=value:"] if self.options else ["It has no options of its own."]
        return "\n".join([*lines, *(f"  {name} = {default}  {text}" for name, default, text in self.options)])


@dataclass(frozen=True)
class Methods:
    """All objectives, as `hashpipe methods` shows them."""

    methods: tuple[Method, ...]

    def as_json(self) -> dict[str, Any]:
        return {"methods": [one.as_json() for one in self.methods]}

    def as_text(self) -> str:
        rows = [("name", "needs", "head", "formula", "source")]
        rows += [(m.name, m.reads, m.head, m.sure, plain(m.source)) for m in self.methods]
        widths = [max(len(row[at]) for row in rows) for at in range(4)]
        lines = []
        for row, method in zip(rows, (None, *self.methods), strict=True):
            lines.append("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]))
            if method is not None:
                lines += textwrap.wrap(method.idea, 100, initial_indent="    ", subsequent_indent="    ")
        return "\n".join([*lines, "", "hashpipe methods NAME shows the formula and the options of one."])


def methods(name: str | None = None) -> Method | Methods:
    """The objective of this name, or all. Raises UserError for an unknown name, with those that are near."""
    if name is None:
        return Methods(tuple(map(method, OBJECTIVES)))
    if name not in OBJECTIVES:
        near = get_close_matches(name, OBJECTIVES, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`hashpipe methods` lists all."
        raise UserError(f"There is no method {name}; {hint}")
    return method(name)


def method(name: str) -> Method:
    """What the objective says of itself."""
    kind = objective_class(name)
    options = []
    for one in fields(kind.Options):
        default = one.default if one.default is not MISSING else one.default_factory()  # type: ignore[misc]
        options.append((one.name, default, str(one.metadata.get("help", ""))))
    about = (sys.modules[kind.__module__].__doc__ or "").strip()
    needs = tuple(need for need in NEEDS if need in kind.needs)
    recipe = kind.recipe(kind.Options(), True, 1)
    uses = not needs and recipe.pairs + recipe.dissimilar > 0
    return Method(name, kind.idea, needs, uses, kind.head, kind.source, kind.reconstruction, tuple(options), about)


def table() -> str:
    """All objectives as a table of Markdown, for docs/methods.md."""
    lines = ["| name | idea | needs | head | source | formula | options |", "|---|---|---|---|---|---|---|"]
    for name in OBJECTIVES:
        m = method(name)
        formula = f"reconstruction: {m.reconstruction}" if m.reconstruction else "sure"
        cells = (m.name, m.idea, m.reads, m.head, m.source, formula)
        lines.append("| " + " | ".join([*cells, ", ".join(option for option, *_ in m.options)]) + " |")
    return "\n".join(lines)


def plain(markdown: str) -> str:
    """Links of Markdown as text: [arXiv 1](https://...) becomes arXiv 1."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", markdown)
