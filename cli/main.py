"""The command `hashpipe`: finds the command, and turns every expected failure into one sentence and an exit code."""

from __future__ import annotations

import difflib
import errno
import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from hashpipe.cli import signals
from hashpipe.common.errors import UserError
from hashpipe.common.progress import show_progress

EXIT_USER = 2
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_USER_CAN_FIX = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG}


class LazyGroup(click.Group):
    """A group that knows name, place and one-line help of its commands and imports a command only to run it.

    `table` maps a command's name to ("module:attribute", "one line of help").
    """

    def __init__(self, *arguments: Any, table: Mapping[str, tuple[str, str]], **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.table = dict(table)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        module, attribute = self.table[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.table and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.table, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(self.table)}."
            ctx.fail(f"There is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.table.items()])


pairs = LazyGroup(
    "pairs",
    help="Make, show and check the pairs that training uses.",
    context_settings=_CONTEXT,
    table={
        "build": ("hashpipe.cli.pairs:build_command", "Photos to 3D models to similar and dissimilar pairs."),
        "show": ("hashpipe.cli.pairs:show_command", "Show the evidence for a pair of photos."),
        "check": ("hashpipe.cli.pairs:check_command", "Check that the pairs of a workspace are whole and consistent."),
        "import": ("hashpipe.cli.exchange:import_command", "Import pairs that another program found."),
        "export": ("hashpipe.cli.exchange:export_command", "Write the pairs of a workspace for other programs."),
    },
)

index = LazyGroup(
    "index",
    help="Build and update the search index.",
    context_settings=_CONTEXT,
    table={
        "build": ("hashpipe.cli.index:build_command", "Build an index from codes files."),
        "add": ("hashpipe.cli.index:add_command", "Add codes files; photos that are there already are replaced."),
        "remove": ("hashpipe.cli.index:remove_command", "Remove photos from an index."),
        "info": ("hashpipe.cli.index:info_command", "Say what an index holds and check that it is whole."),
    },
)

export = LazyGroup(
    "export",
    help="Codes and models for other programs.",
    context_settings=_CONTEXT,
    table={
        "codes": ("hashpipe.cli.export_codes:export_codes_command", "Write codes for FAISS, PostgreSQL, CSV or NumPy."),
        "onnx": ("hashpipe.cli.export_onnx:export_onnx_command", "The hash network as ONNX, checked against torch."),
    },
)

TABLE = {
    "pairs": ("hashpipe.cli.main:pairs", "Make, show and check the pairs that training uses."),
    "train": ("hashpipe.cli.train:train_command", "Learn binary codes, without labels."),
    "methods": ("hashpipe.cli.methods:methods_command", "List the published methods that `train --objective` knows."),
    "adapt": ("hashpipe.cli.adapt:adapt_command", "Adapt a model to another collection, without labels or 3D."),
    "encode": ("hashpipe.cli.encode:encode_command", "Photos to binary codes with the workspace's model."),
    "eval": ("hashpipe.cli.eval:eval_command", "Score the codes on held-out photos, beside the baselines."),
    "index": ("hashpipe.cli.main:index", "Build and update the search index."),
    "search": ("hashpipe.cli.search:search_command", "Find the photos that look like a given one."),
    "calibrate": ("hashpipe.cli.calibrate:calibrate_command", "Measure false matches and recall by radius."),
    "groups": (
        "hashpipe.cli.groups:groups_command",
        "Find duplicates, bursts and photos of one place. Deletes nothing.",
    ),
    "export": ("hashpipe.cli.main:export", "Codes and models for other programs."),
    "serve": ("hashpipe.cli.serve:serve_command", "Search a collection on a local page, or by its HTTP API."),
    "benchmarks": ("hashpipe.cli.benchmarks:benchmarks", "List, show, fetch and verify public benchmarks."),
    "demo": ("hashpipe.cli.demo:demo_command", "Render demo photos and run the whole chain on them."),
    "doctor": ("hashpipe.cli.doctor:doctor_command", "Say what is installed, what is missing and how to get it."),
    "clean": ("hashpipe.cli.clean:clean_command", "List what a workspace holds; remove its caches."),
}

hashpipe = LazyGroup(
    "hashpipe",
    help="Compact binary codes for finding other photos of the same place, and a measure of their accuracy.",
    epilog="Three commands in a row: `hashpipe pairs build PHOTOS`, `hashpipe train --unsupervised`, `hashpipe eval`.",
    context_settings=_CONTEXT,
    table=TABLE,
)
click.version_option(package_name="hashpipe", prog_name="hashpipe")(hashpipe)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code: 0, 2 for errors that the user can fix, 130 or 143 when stopped."""
    try:
        code = hashpipe.main(arguments, prog_name="hashpipe", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except UserError as error:
        if _debugging():
            raise
        return _refuse(str(error))
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        terminated = isinstance(error, signals.Terminated) or isinstance(error.__cause__, signals.Terminated)
        print("hashpipe: stopped; finished work is kept; run the same command to continue.", file=sys.stderr)
        return signals.EXIT_TERMINATED if terminated else signals.EXIT_INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has left (`hashpipe ... | head`); keep the interpreter from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        if _debugging():
            raise
        return _refuse("memory ran out; close other programs or give --workers 1. Finished work is kept.")
    except OSError as error:
        if error.errno not in _USER_CAN_FIX or _debugging():
            raise
        where = f"{error.filename}: " if error.filename else ""
        step = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "name another place with -w"
        return _refuse(f"{where}{(error.strerror or str(error)).lower()}; {step}, finished work is kept.")


def main() -> None:
    """The console script."""
    # Threads that spin while they wait slow a busy machine down several times; libraries read this when they load.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signals.install()
    show_progress("auto")
    for stream in (sys.stdout, sys.stderr):  # a file name that the terminal cannot show must not end a command
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run())


def _debugging() -> bool:
    return os.environ.get("HASHPIPE_DEBUG") == "1"  # tracebacks instead of sentences


def _refuse(sentence: str) -> int:
    print(f"hashpipe: {sentence}", file=sys.stderr)
    return EXIT_USER


if __name__ == "__main__":
    main()
