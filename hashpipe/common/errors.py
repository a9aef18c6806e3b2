"""The one exception for all errors that a user can fix."""

from __future__ import annotations


class UserError(Exception):
    """A mistake or a missing thing that the user can put right.

    The message is one sentence that names the thing, its value and the next step. The command line prints it without a
    traceback and exits with code 2.
    """
