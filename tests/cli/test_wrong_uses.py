"""Wrong uses: each ends in one sentence `hashpipe: ...` that says what to do next, exit code 2, and leaves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import toys
from small_models import network_model, workspace_with, write_pictures

from hashpipe.cli.main import run
from hashpipe.common.files import open_workspace
from hashpipe.hashing.encoding.encode import encode
from hashpipe.hashing.encoding.options import EncodeOptions

Refused = Callable[..., str]


@pytest.fixture
def refused(capfd, tmp_path, monkeypatch) -> Refused:
    """Run a command in an empty folder, in this process; returns its one sentence."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HASHPIPE_WORKSPACE", raising=False)

    def call(*arguments: object) -> str:
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert code == 2, f"exit code {code}\n{out}\n{err}"
        assert out == ""
        (line,) = err.strip().splitlines()
        assert line.startswith("hashpipe: ")
        assert line.endswith((".", "?"))
        return line.removeprefix("hashpipe: ")

    return call


@pytest.fixture(scope="module")
def encoded(tmp_path_factory) -> Path:
    """A workspace with a model and codes of a few photos, without an index."""
    home = tmp_path_factory.mktemp("encoded")
    made = workspace_with(home / "ws", network_model(home / "network" / "model"))
    encode(write_pictures(home / "photos", 6), made, EncodeOptions(runtime="torch", bits=16))
    return made


PARSER = [
    # a command that is not there
    ("build x", "There is no command 'build'; did you mean `hashpipe pairs build` or `hashpipe index build`?"),
    ("shwo", "did you mean `hashpipe pairs show` or `hashpipe benchmarks show`?"),
    ("trian", "There is no command 'trian'; did you mean `hashpipe train`?"),
    ("pairs biuld", "There is no command 'biuld'; did you mean `hashpipe pairs build`?"),
    ("frobnicate", "choose one of pairs, train"),
    # an option that is not there, has no value, or a wrong one
    ("train --bist 16", "There is no option --bist; did you mean --bits"),
    ("doctor --frobnicate", "There is no option --frobnicate; `hashpipe doctor --help` lists all."),
    ("--versoin", "There is no option --versoin; did you mean --ver"),
    ("train --bits", "--bits has no value; give one after it."),
    ("train --bits 7.5", "--bits: '7.5' is not a valid integer; `hashpipe train --help` says what it takes."),
    ("train --finetune some", "--finetune: 'some' is not one of 'none', 'last', 'all'; `hashpipe train --help`"),
    ("search x.jpg --radius far", "--radius: 'far' is not a valid integer"),
    # arguments that are missing or too many
    ("encode", "PHOTOS is missing; write `hashpipe encode PHOTOS` (`hashpipe encode --help` says more)."),
    ("pairs show a", "SECOND is missing; write `hashpipe pairs show FIRST SECOND`"),
    ("benchmarks fetch x", "--root is missing; write `hashpipe benchmarks fetch NAME --root DIR`"),
    ("encode a b", "b is one argument too many; write `hashpipe encode PHOTOS`"),
    ("train a b", "a b are 2 arguments too many"),
    # values of a list with spaces between them
    ("train --bits 16 32", "--bits takes several values with commas between them; write --bits 16,32."),
    ("eval --bits 16 32 64", "write --bits 16,32,64."),
    ("eval --baselines itq pca", "write --baselines itq,pca."),
    ("index remove --ids 3 4", "write --ids 3,4."),
]


@pytest.mark.parametrize(("line", "expected"), PARSER, ids=[line for line, _ in PARSER])
def test_what_the_parser_refuses(refused, line, expected):
    assert expected in refused(*line.split())


def test_a_path_with_spaces_needs_quotes(refused, tmp_path):
    (tmp_path / "my photos").mkdir()
    assert refused("encode", "my", "photos").endswith("put quotes around a path with spaces: 'my photos'.")


# ---- workspaces

READERS = ["train", "eval", "encode .", "adapt .", "search x.jpg", "index build", "index info", "calibrate", "groups"]
READERS += ["export codes", "export onnx", "pairs check", "pairs show 1 2", "clean", "serve"]


@pytest.mark.parametrize("line", READERS)
def test_no_workspace_anywhere(refused, tmp_path, line):
    toys.pictures(tmp_path, 2)
    here = {path.name for path in tmp_path.iterdir()}
    said = refused(*line.split())
    assert said.startswith(f"{tmp_path}/hashpipe-workspace is not a hashpipe workspace; none lies above or below")
    assert "name yours with -w or in $HASHPIPE_WORKSPACE" in said
    assert f"`hashpipe pairs build PHOTOS -w {tmp_path}/hashpipe-workspace`" in said
    assert ("`hashpipe train --photos DIR`" in said) == (line == "train")
    assert {path.name for path in tmp_path.iterdir()} == here


@pytest.mark.parametrize(
    ("where", "here"), [("a/b/ws", "."), ("hashpipe-workspace", "a/b"), (".", "a/b"), ("x", "x/y")]
)
def test_the_nearest_workspace_is_named(refused, tmp_path, monkeypatch, where, here):
    there = open_workspace(tmp_path / where, create=True) if where != "." else open_workspace(tmp_path, create=True)
    (tmp_path / here).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / here)
    said = refused("eval", "-w", "missing")
    assert f"the nearest is {there}: name it with -w or in $HASHPIPE_WORKSPACE" in said


def test_the_variable_is_named_where_the_folder_comes_from_it(refused, tmp_path, monkeypatch):
    monkeypatch.setenv("HASHPIPE_WORKSPACE", "gone")
    assert f"{tmp_path}/gone is not a hashpipe workspace (from $HASHPIPE_WORKSPACE);" in refused("eval")


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("eval", "`hashpipe pairs build PHOTOS -w {workspace}`"),
        ("eval --benchmark copies", "`hashpipe pairs build PHOTOS -w {workspace}`"),
        ("train", "`hashpipe pairs build PHOTOS -w {workspace}`"),
        ("encode .", "`hashpipe train --unsupervised -w {workspace}`"),
        ("search x.jpg", "`hashpipe index build CODES -w {workspace}`"),
        ("index build", "`hashpipe encode PHOTOS -o {codes} -w {workspace}`"),
        ("groups", "`hashpipe encode PHOTOS -o {codes} -w {workspace}`"),
    ],
)
def test_commands_that_are_advised_name_the_workspace(refused, tmp_path, line, advice):
    toys.pictures(tmp_path, 2)
    workspace = open_workspace(tmp_path / "my work", create=True)
    said = refused(*line.split(), "-w", workspace)
    assert advice.format(workspace=f"'{workspace}'", codes=f"'{workspace}/codes.parquet'") in said


def test_the_default_workspace_needs_no_name(refused, tmp_path):
    open_workspace(tmp_path / "hashpipe-workspace", create=True)
    assert "`hashpipe pairs build PHOTOS`" in refused("eval")


# ---- what does not exist, and what cannot be done


@pytest.mark.parametrize("line", ["adapt", "encode", "train --photos", "pairs build"])
def test_photos_that_do_not_exist_come_first(refused, tmp_path, line):
    said = refused(*line.split(), "/nope")
    assert "/nope does not exist" in said or "There is no folder /nope" in said
    assert list(tmp_path.iterdir()) == []


BENCHMARKS = [
    ("eval --benchmark cifar01", "There is no benchmark 'cifar01'; did you mean cifar10?"),
    ("eval --benchmark cifar10/IV --root .", "There is no protocol cifar10/IV; choose from cifar10/I"),
    ("eval --benchmark place", "did you mean places"),
    ("train --benchmark cifar01 --root .", "There is no benchmark 'cifar01'; did you mean cifar10?"),
    ("train --benchmark cifar10 --root /nope", "--root /nope does not exist; `hashpipe benchmarks show cifar10`"),
    ("benchmarks show cifar01", "did you mean cifar10?"),
]


@pytest.mark.parametrize(("line", "expected"), BENCHMARKS, ids=[line for line, _ in BENCHMARKS])
def test_benchmarks_that_do_not_exist(refused, tmp_path, line, expected):
    assert expected in refused(*line.split())
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_learn_is_refused_before_descriptors_are_computed(refused, tmp_path, monkeypatch):
    photos = toys.pictures(tmp_path / "photos", 4)
    never = "hashpipe.hashing.training.train.make_describer"
    monkeypatch.setattr(never, lambda *all, **more: pytest.fail("work began"))
    for line, expected in (
        ("--finetune last --backbone vlad", "--finetune last needs a network and vlad has no layers"),
        ("--set head=attention --backbone vlad", "vlad has none"),
        ("--objective bcdh --backbone vlad --weights x", "--backbone vlad takes no weights"),
    ):
        assert expected in refused("train", "--photos", photos, *line.split())
        assert not (tmp_path / "hashpipe-workspace").exists()


@pytest.mark.parametrize(
    ("line", "folder"),
    [
        ("index build", "index"),
        ("index build none.parquet", "index"),
        ("groups --radius 99", "groups"),
        ("groups --codes none.parquet", "groups"),
        ("export codes --codes none.parquet", "export"),
        ("calibrate", "calibration.json"),
    ],
)
def test_a_command_that_fails_leaves_no_folder(refused, encoded, tmp_path, line, folder):
    if line == "index build":
        encoded = open_workspace(tmp_path / "ws", create=True)
    before = {path.name for path in encoded.iterdir()} - {"hashpipe.log"}
    refused(*line.split(), "-w", encoded)
    assert {path.name for path in encoded.iterdir()} - {"hashpipe.log"} == before
    assert folder not in before


def test_a_command_that_fails_leaves_no_new_workspace(refused, tmp_path):
    refused("index", "build", "none.parquet", "-w", "new")
    refused("train", "--photos", "/nope", "-w", "new")
    refused("eval", "--benchmark", "copies", "--root", ".", "--codes", "none.npy", "-w", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_photo_that_is_not_in_the_index_is_said_before_a_network_is_loaded(refused, encoded, monkeypatch, capfd):
    assert run(["index", "build", "-w", str(encoded)]) == 0
    capfd.readouterr()
    monkeypatch.setattr("hashpipe.hashing.search.search.open_encoder", lambda *all, **more: pytest.fail("loaded"))
    said = refused("search", "IMG_0412.jpg", "-w", encoded)
    assert said.startswith("IMG_0412.jpg cannot be read: no such file, and no path of a photo in the index")
    assert run(["search", "003.png", "-w", str(encoded), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)["queries"][0]
    assert found["hits"][0]["path"] == found["query"] == str(encoded.parent / "photos" / "003.png")
