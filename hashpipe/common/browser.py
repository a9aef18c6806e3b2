"""Pages in the user's browser, where there is one."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from hashpipe.common.progress import say


def open_page(page: Path) -> None:
    """Show a page in the browser; where none opens, say where the page is. It costs no result."""
    try:
        opened = webbrowser.open(Path(page).absolute().as_uri())
    except (OSError, webbrowser.Error):
        opened = False
    if not opened:
        say(f"no browser could be opened; the page is {page}")
