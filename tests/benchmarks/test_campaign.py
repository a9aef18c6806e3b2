"""A short slice of the campaign of faults, on a workspace that is made in seconds."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import campaign
import pytest
from campaign_commands import HASHPIPE, Command, Ground
from campaign_faults import FAULTS, Case
from small_models import vlad_model, workspace_with, write_pictures

from hashpipe.hashing.encoding.encode import encode
from hashpipe.hashing.encoding.options import EncodeOptions
from hashpipe.hashing.export.export_codes import export_codes
from hashpipe.hashing.export.options import ExportOptions

EXPORT = Command("export faiss", ("export", "codes", "-w", "{ws}", "--to", "faiss"), "export/faiss")
ENCODE = Command("encode", ("encode", "{photos}", "-w", "{ws}", "--bits", "16"), "codes.parquet")


@pytest.fixture(scope="module")
def ground(tmp_path_factory) -> Ground:
    folder = tmp_path_factory.mktemp("campaign")
    photos = write_pictures(folder / "photos", 12)
    base = workspace_with(folder / "base", vlad_model(folder / "made" / "model", photos, (12, 16)))
    half = folder / "half.parquet"
    encode(photos, base, EncodeOptions(bits=16, output=half))
    export_codes(base, ExportOptions(to="faiss", codes=half))
    encode(photos, base, EncodeOptions(bits=12))
    return Ground(folder, photos, half, base, (EXPORT, ENCODE))


# seconds each: the slice takes part of every run, the whole campaign stands in docs/results
@pytest.mark.parametrize(
    ("command", "fault"),
    [(ENCODE, "kill"), (EXPORT, "stop"), (EXPORT, "full disk"), (ENCODE, "closed pipe"), (EXPORT, "clean beside")],
    ids=lambda one: getattr(one, "name", one),
)
def test_a_command_survives(ground, command, fault):
    found = campaign.run_case(ground, command, fault, seed=1)
    assert found["wrong"] == []


def test_finished_cases_are_not_run_again_and_are_counted(ground, monkeypatch, capsys):
    ran: list[tuple[str, str, int]] = []

    def run(ground, command, fault, seed):
        ran.append((command.name, fault, seed))
        wrong = ["bad"] if (command.name, fault) == ("encode", "kill") else []
        return {"command": command.name, "fault": fault, "seed": seed, "wrong": wrong, "notes": [], "seconds": 1.0}

    monkeypatch.setattr(campaign, "run_case", run)
    faults = ["kill", "stop"]
    first = campaign.campaign(ground, faults, seed=3, rounds=1)
    assert len(ran) == len(set(ran)) == len(first) == 4
    done = campaign.campaign(ground, faults, seed=3, rounds=2)
    assert len(ran) == len(set(ran)) == len(done) == 8
    assert "encode, kill, seed 3: bad (1.0 s)" in capsys.readouterr().out
    rows = campaign.table(done, ground)
    assert rows == [
        ["command", "kill", "stop", "all"],
        ["export faiss", "2/2", "2/2", "4/4"],
        ["encode", "0/2", "2/2", "2/4"],
        ["all", "2/4", "4/4", "6/8"],
    ]
    target = ground.folder / "table.json"
    campaign.write_json(target, rows, done, ["--rounds 2"])
    assert json.loads(target.read_text())["tables"][0]["rows"] == rows[1:]
    assert json.loads(target.read_text())["seeds"] == [3, 4]


def test_what_is_wrong_is_noticed(ground, monkeypatch):
    """A command that loses an older result, and one that ends in other bytes than it should."""
    fault = FAULTS["closed pipe"]

    def losing(case):
        fault(case)
        (case.workspace / "codes.parquet").write_bytes(b"lost")

    monkeypatch.setitem(FAULTS, "closed pipe", losing)
    found = campaign.run_case(ground, EXPORT, "closed pipe", seed=1)
    assert "codes.parquet is another one" in found["wrong"]
    assert [*HASHPIPE] == [sys.executable, "-m", "hashpipe.cli.start"]
    assert Path(ground.base / "codes.parquet").stat().st_size > 100


def test_a_command_that_hangs_is_wrong_and_is_ended(ground, monkeypatch):
    monkeypatch.setitem(FAULTS, "hang", lambda case: case.start().communicate(timeout=0.01))
    started = []
    monkeypatch.setattr(campaign, "Case", lambda *what: started.append(Case(*what)) or started[0])
    found = campaign.run_case(ground, ENCODE, "hang", seed=1)
    assert found["wrong"] == ["longer than 0 s"]
    assert [one.poll() for one in started[0].started] == [-signal.SIGKILL]
