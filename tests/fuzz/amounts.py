"""How many bad inputs each property is tried on, and how many were."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st

MANY = int(os.environ.get("HASHPIPE_FUZZ") or 0)  # inputs of each property; 0: the short slice, always the same
SEED = int(os.environ.get("HASHPIPE_FUZZ_SEED") or 0)
PATIENCE = timedelta(seconds=20)  # an input that takes longer hangs

tried: Counter[str] = Counter()  # inputs by property
seconds: dict[str, float] = {}


def tries(few: int, share: float = 1.0) -> Callable[[Any], Any]:
    """Decorator: half of `few` inputs in the short slice, `share` of HASHPIPE_FUZZ in the long run."""
    count = max(1, round(share * MANY)) if MANY else max(1, few // 2)
    chosen = settings(
        max_examples=count,
        derandomize=not MANY,
        database=None,
        deadline=PATIENCE,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    return lambda test: chosen(seed(SEED)(test)) if MANY else chosen(test)


def one_line(error: Exception) -> None:
    """A refusal is said in one line."""
    assert str(error)
    assert "\n" not in str(error)


# what replaces, joins or cuts the bytes of a sound file
NUMBERS = [b"\0", b"\xff", b"\x7f\xff", b"\xff" * 4, b"\0" * 8, b"\xff\xd8\xff", b"\x80\0\0\0", b"\x7f\xff\xff\xff"]
_PIECES = st.sampled_from(NUMBERS) | st.binary(min_size=1, max_size=12)
_EDITS = st.lists(
    st.tuples(st.sampled_from(("over", "into", "cut", "end")), st.floats(0, 1, width=32), _PIECES, st.booleans()),
    min_size=1,
    max_size=5,
)


@st.composite
def damaged(draw: st.DrawFn, sound: st.SearchStrategy[bytes], head: int = 300) -> bytes:
    """A sound file with up to five edits, half of them in its first `head` bytes."""
    content = bytearray(draw(sound))
    for how, where, piece, early in draw(_EDITS):
        at = int(where * (min(head, len(content)) if early else len(content)))
        if how == "over":
            content[at : at + len(piece)] = piece
        elif how == "into":
            content[at:at] = piece
        elif how == "cut":
            del content[at : at + 4 * len(piece)]
        else:
            del content[max(at, 1) :]
    return bytes(content)
