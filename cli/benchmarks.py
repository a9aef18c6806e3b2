"""`hashpipe benchmarks`: what public benchmarks there are, and their files."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hashpipe.cli.main import LazyGroup
from hashpipe.cli.options import json_option
from hashpipe.cli.output import show

benchmarks = LazyGroup(
    "benchmarks",
    help="List, show, fetch and verify the benchmarks that `hashpipe eval` knows.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    table={
        "list": ("hashpipe.cli.benchmarks:list_command", "All benchmarks, one line each."),
        "show": (
            "hashpipe.cli.benchmarks:show_command",
            "What a benchmark is, its files, terms, protocols and pitfalls.",
        ),
        "fetch": ("hashpipe.cli.benchmarks:fetch_command", "Download a benchmark's files; asks before anything large."),
        "verify": ("hashpipe.cli.benchmarks:verify_command", "Check that a benchmark's files are complete."),
    },
)


@click.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """All benchmarks, one line each."""
    from hashpipe.hashing.benchmarks.catalogue import listing

    show(listing, as_json)


@click.command("show")
@click.argument("name")
@json_option
def show_command(name: str, as_json: bool) -> None:
    """What a benchmark is, its files, terms, protocols and pitfalls."""
    from hashpipe.hashing.benchmarks.catalogue import description

    show(lambda: description(name), as_json)


@click.command("fetch")
@click.argument("name")
@click.option(
    "--root", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder to put the files in."
)
@click.option("-y", "--yes", is_flag=True, help="Download large files without asking.")
@json_option
def fetch_command(name: str, root: Path, yes: bool, as_json: bool) -> None:
    """Download a benchmark's files to DIR and unpack them there.

    Says what comes from where and how large it is, and asks before anything large. A download that broke off continues
    where it stopped; checksums are checked where they are published; a file that exists is never overwritten.
    """
    from hashpipe.hashing.benchmarks.fetch import fetch
    from hashpipe.hashing.benchmarks.manifests import find_manifest

    def confirm(question: str) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            click.echo(f"{question} Say --yes to do so.", err=True)
            return False
        return click.confirm(question, err=True)

    manifest = find_manifest(name)
    show(lambda: fetch(manifest, root, confirm), as_json)


@click.command("verify")
@click.argument("name")
@click.option("--root", type=click.Path(path_type=Path), required=True, metavar="PATH", help="Where the files are.")
@json_option
def verify_command(name: str, root: Path, as_json: bool) -> None:
    """Check that a benchmark's files are complete; prints what its protocols come to, with their hashes."""
    from hashpipe.hashing.benchmarks.catalogue import verification

    show(lambda: verification(name, root), as_json)
