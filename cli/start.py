"""The console script: hears Ctrl-C and SIGTERM before anything that takes time is imported."""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run `hashpipe`; a stop that comes before it has begun is answered here, with the sentence of `cli.signals`."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stopped)
    signal.signal(signal.SIGTERM, _stopped)
    from hashpipe.cli.main import main as command

    command()


def _stopped(number: int, frame: FrameType | None) -> None:
    if sys.stderr is not None:
        os.write(2, b"hashpipe: stopped; finished work is kept; run the same command to continue.\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
