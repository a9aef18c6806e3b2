"""Pictures, pages and cards: made after a result is whole, and never at its cost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hashpipe.common.progress import say


@contextlib.contextmanager
def optional(what: str, whole: str) -> Iterator[None]:
    """Do a block whose failure is one note and no error: `what` could not be made, `whole` needs nothing of it.

    A stop by the user goes on as ever.
    """
    try:
        yield
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        say(f"{what} could not be made ({type(error).__name__}: {reason}); {whole} is complete without it.")
