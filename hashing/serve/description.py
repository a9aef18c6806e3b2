"""The OpenAPI description, as the collection is now: which codes it takes depends on its index."""

from __future__ import annotations

import copy
from typing import Any

from fastapi import FastAPI

from hashpipe.hashing.serve.state import State


def describe(app: FastAPI, state: State) -> None:
    """Let the description of `app` say how long a code of the current index is. It is made anew for every reader."""
    made = app.openapi

    def current() -> dict[str, Any]:
        found = copy.deepcopy(made())
        bits = state.latest().index.space.bits
        digits = 2 * -(-bits // 8)
        for parameter in found["paths"]["/api/search"]["get"]["parameters"]:
            if parameter["name"] == "code":
                parameter["description"] = f"hexadecimal bytes of a code of {bits} bits"
                parameter["schema"] |= {"pattern": code_pattern(bits), "minLength": digits, "maxLength": digits}
        return found

    app.openapi = current  # type: ignore[method-assign]


def code_pattern(bits: int) -> str:
    """A regular expression for the codes of a length in hexadecimal: whole bytes, bits past the last one zero."""
    digit, whole, rest = "[0-9a-fA-F]", bits // 8, bits % 8
    last = ""
    if 0 < rest <= 4:
        last = f"0{_below(1 << rest)}"
    elif rest:
        last = f"{_below(1 << (rest - 4))}{digit}"
    return f"^{digit}{{{2 * whole}}}{last}$"


def _below(count: int) -> str:
    """One hexadecimal digit less than `count`, which is a power of two up to 16."""
    return {2: "[01]", 4: "[0-3]", 8: "[0-7]", 16: "[0-9a-fA-F]"}[count]
