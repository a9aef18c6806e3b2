"""The command `hashpipe`: finds the command, and turns every expected failure into one sentence and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from hashpipe.cli import advice, signals, streams, usage_errors
from hashpipe.cli.failures import little_memory, sentence_of
from hashpipe.cli.loudness import loudness_options
from hashpipe.cli.version import version_option
from hashpipe.common import journal
from hashpipe.common.errors import UserError
from hashpipe.common.progress import show_progress

EXIT_USER = 2
EXIT_PIPE = 141  # as a shell reports a program that SIGPIPE ended
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class ReaderLeft(Exception):
    """Whoever read our output has left (`hashpipe ... | head`); click would make an exit code of 1 of it."""


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
            near = advice.meant(args[0], self._names(ctx), ctx.command_path)
            hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(self.table)}."
            raise UserError(f"There is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def _names(self, ctx: click.Context) -> dict[str, list[str]]:
        """Names of commands by group, "" for this one."""
        members = {name: self.get_command(ctx, name) for name in self.table}
        below = {name: one.list_commands(ctx) for name, one in members.items() if isinstance(one, click.Group)}
        return {"": list(self.table), **below}

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it fails with names the workspace, stands in its log, and leaves no empty one."""
        try:
            result = super().invoke(ctx)
        except BaseException as error:
            if isinstance(error, UserError):
                error.args = (advice.named(str(error), ctx.meta),)
            if ctx.parent is None:
                journal.end(None if isinstance(error, click.exceptions.Exit) else error)
                advice.remove_empty_workspace(ctx)
            raise
        if ctx.parent is None:
            journal.end()
        return result

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
        "check": ("hashpipe.cli.pairs:check_command", "Check that pairs are complete and consistent."),
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
        "info": ("hashpipe.cli.index:info_command", "Say what an index holds and check that it is complete."),
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
    "demo": ("hashpipe.cli.demo:demo_command", "Render demo photos and run all stages on them."),
    "status": ("hashpipe.cli.status:status_command", "Say what a workspace holds, what is stale, what to run next."),
    "doctor": ("hashpipe.cli.doctor:doctor_command", "Say what is installed, what is missing and how to get it."),
    "clean": ("hashpipe.cli.clean:clean_command", "List what a workspace holds; remove its caches."),
}


class Program(LazyGroup):
    """The group of all commands."""

    def make_context(self, *arguments: Any, **keywords: Any) -> click.Context:
        with _reader_left():
            return super().make_context(*arguments, **keywords)

    def invoke(self, ctx: click.Context) -> Any:
        with _reader_left():
            return super().invoke(ctx)


@contextlib.contextmanager
def _reader_left() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        if streams.reader_left():
            raise ReaderLeft from None
        raise RuntimeError("a connection to another process broke") from error


hashpipe = Program(
    "hashpipe",
    help="Compact binary codes for finding other photos of the same place, and a measure of their accuracy.",
    epilog="Three commands in a row: `hashpipe pairs build PHOTOS`, `hashpipe train --unsupervised`, `hashpipe eval`.",
    context_settings=_CONTEXT,
    table=TABLE,
)

loudness_options(version_option(hashpipe))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code: 0, 2 for errors that the user can fix, 130 or 143 when stopped,
    141 where whoever read the output has left.
    """
    try:
        line = shlex.join(sys.argv[1:] if arguments is None else arguments)
        code = hashpipe.main(arguments, prog_name="hashpipe", standalone_mode=False, obj=line)
        with _reader_left():
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except UserError as error:
        if _debugging():
            raise
        return _refuse(str(error))
    except click.ClickException as error:
        if not isinstance(error, usage_errors.HELP):
            return _refuse(usage_errors.sentence(error))
        streams.tell(error.show)
        return EXIT_USER
    except ReaderLeft:
        streams.silence_stdout()
        return EXIT_PIPE
    except BaseException as error:
        number = signals.asked_to_stop()
        if isinstance(error, click.Abort | KeyboardInterrupt) or number is not None:
            # a stop that came while a library was imported may arrive as the library's own error
            if number is None:
                number = signal.SIGINT
            streams.complain(signals.STOPPED)
            return 128 + number
        sentence = sentence_of(error)
        if sentence is None or _debugging():
            raise
        if sys.stdout is not None and isinstance(error, OSError) and not error.filename:
            streams.silence_stdout()  # what was full may have been where our output goes
        return _refuse(sentence)


def main() -> None:
    """The console script."""
    streams.open_closed()
    # Threads that spin while they wait slow a busy machine down several times; libraries read this when they load.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signals.install()
    show_progress("auto")
    streams.escape_unknown_letters()
    if note := little_memory():
        streams.complain(f"hashpipe: {note}")
    code = 1
    try:
        code = run()
    finally:
        signals.ignore()  # the work is done, or its failure is said
    if signals.asked_to_stop() is not None:
        streams.flush()
        signals.end_at_once(code)  # freeing what a large command holds may take seconds
    sys.exit(code)


def _debugging() -> bool:
    return os.environ.get("HASHPIPE_DEBUG") == "1"  # tracebacks instead of sentences


def _refuse(sentence: str) -> int:
    streams.complain(f"hashpipe: {sentence}")
    return EXIT_USER


if __name__ == "__main__":
    main()
