"""Faults at random moments of every command: what is told, what is left, and whether the same command ends the same.

    python benchmarks/campaign.py FOLDER --rounds 3 --seed 0 --minutes 30

Each round runs every command under every fault, in an order and at moments that the seed draws. After a fault the
results that were there before must be the same bytes, and the same command again must end in the bytes of an
undisturbed run. FOLDER keeps photos, base and finished cases: the same command line goes on where it stopped. Prints a
table of cases that were right, of all; --json writes it for docs/results. Exit code 1: something was wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from campaign_commands import Command, Ground, digests, environment, full_ground
from campaign_faults import FAULTS, Case

DONE = "cases.jsonl"


def undisturbed(ground: Ground, command: Command) -> tuple[dict[str, str], float]:
    """Results of a command that nothing disturbs, and its seconds; kept in the ground's folder."""
    kept = ground.folder / f"{command.name.replace(' ', '-')}.json"
    if not kept.exists():
        workspace = fresh(ground)
        begun = time.monotonic()
        subprocess.run(
            ground.line(command, workspace), env=environment(), check=True, capture_output=True, timeout=ground.limit
        )
        seconds = time.monotonic() - begun
        kept.write_text(json.dumps({"results": digests(workspace), "seconds": seconds}))
    found = json.loads(kept.read_text())
    return found["results"], found["seconds"]


def fresh(ground: Ground) -> Path:
    """A copy of the base."""
    workspace = ground.folder / "ws"
    for path in (workspace, ground.folder / "aside"):
        if path.is_mount():  # a campaign that was killed left its small disk
            subprocess.run(["umount", "-l", path], check=True)
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(ground.base, workspace)
    return workspace


def run_case(ground: Ground, command: Command, fault: str, seed: int) -> dict[str, Any]:
    """One fault, what it left, and the same command again."""
    new, seconds = undisturbed(ground, command)
    chance = random.Random(f"{command.name} {fault} {seed}")
    case = Case(ground, command, fresh(ground), digests(ground.base), new, seconds, chance)
    begun = time.monotonic()
    try:
        FAULTS[fault](case)
        if not case.wrong:
            case.check_results()
            case.run_again()
    except subprocess.TimeoutExpired as late:
        case.wrong.append(f"longer than {late.timeout:.0f} s")
    finally:
        case.end()
    took = round(time.monotonic() - begun, 1)
    found = {"command": command.name, "fault": fault, "seed": seed, "wrong": case.wrong, "notes": case.notes}
    return {**found, "seconds": took}


def cases(ground: Ground, faults: Sequence[str], seed: int, rounds: int) -> Iterator[tuple[Command, str, int]]:
    for number in range(seed, seed + rounds):
        every = [(command, fault) for command in ground.commands for fault in faults]
        random.Random(number).shuffle(every)
        yield from ((command, fault, number) for command, fault in every)


def campaign(
    ground: Ground, faults: Sequence[str], seed: int, rounds: int, minutes: float = 0.0
) -> list[dict[str, Any]]:
    """Run all cases that are not done yet, until the minutes are over (0: no limit); returns all that are done."""
    path, until = ground.folder / DONE, time.monotonic() + 60 * (minutes or 1e9)
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    known = {(one["command"], one["fault"], one["seed"]) for one in done}
    for command, fault, number in cases(ground, faults, seed, rounds):
        if (command.name, fault, number) in known:
            continue
        if time.monotonic() > until:
            break
        done.append(run_case(ground, command, fault, number))
        with path.open("a") as file:
            file.write(json.dumps(done[-1]) + "\n")
        one = done[-1]
        said = "; ".join(one["wrong"]) or "right"
        print(
            f"{command.name}, {fault}, seed {number}: {said} ({one['seconds']} s) {' '.join(one['notes'])}", flush=True
        )
    return done


def table(done: Sequence[dict[str, Any]], ground: Ground) -> list[list[str]]:
    """Rows of right cases of all, one a command and one for all; the head first."""
    faults = [fault for fault in FAULTS if any(one["fault"] == fault for one in done)]
    rows = [["command", *faults, "all"]]
    for name in [*(command.name for command in ground.commands), "all"]:
        mine = [one for one in done if name in (one["command"], "all")]
        shares = [[one for one in mine if one["fault"] == fault] for fault in faults]
        rows.append([name, *(_share(some) for some in [*shares, mine])])
    return rows


def _share(some: Sequence[dict[str, Any]]) -> str:
    return f"{sum(not one['wrong'] for one in some)}/{len(some)}" if some else "-"


def write_json(path: Path, rows: list[list[str]], done: Sequence[dict[str, Any]], arguments: Sequence[str]) -> None:
    """The table in the form of docs/results."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    minutes = sum(one["seconds"] for one in done) / 60
    name = "campaign"
    caption = f"Faults at random moments: cases right, of all ({len(done)} cases in {minutes:.0f} minutes)"
    result = {
        "command": [f"python benchmarks/campaign.py FOLDER {' '.join(arguments)}".strip()],
        "commit": commit,
        "seeds": sorted({one["seed"] for one in done}),
        "machine": "2 shared CPU cores, no GPU",
        "tables": [{"name": name, "caption": caption, "columns": rows[0], "rows": rows[1:]}],
    }
    path.write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the first round; the others follow")
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--commands", nargs="*", help="names as in the table; all when not given")
    parser.add_argument("--minutes", type=float, default=0.0, help="begin no further case after so many")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds after which a command hangs")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    ground = full_ground(asked.folder.absolute())
    some = tuple(one for one in ground.commands if asked.commands is None or one.name in asked.commands)
    ground = replace(ground, commands=some, limit=asked.limit)
    done = campaign(ground, asked.faults, asked.seed, asked.rounds, asked.minutes)
    rows = table(done, ground)
    for row in rows:
        print("  ".join(f"{one:<13}" for one in row))
    if asked.json:
        write_json(asked.json, rows, done, [f"--rounds {asked.rounds}", f"--seed {asked.seed}"])
    sys.exit(any(one["wrong"] for one in done))


if __name__ == "__main__":
    main()
