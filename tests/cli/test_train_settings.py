"""What `train` is asked for: fifteen options, --set, a configuration file, and the options of hashpipe 0.1."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from hashpipe.cli.main import run
from hashpipe.hashing.training import train as training
from hashpipe.hashing.training.objectives import OBJECTIVES, objective_class
from hashpipe.hashing.training.objectives.bcdh import BcdhOptions
from hashpipe.hashing.training.objectives.dsah import DsahOptions
from hashpipe.hashing.training.objectives.joint import JointOptions
from hashpipe.hashing.training.options import TrainOptions

Asked = Callable[..., TrainOptions]


class Done:
    """The result of a training that did not take place."""

    def as_json(self) -> dict:
        return {}

    def as_text(self) -> str:
        return "done"


@pytest.fixture
def asked(monkeypatch, tmp_path, capsys) -> Asked:
    """Run `hashpipe train ARGUMENTS`; returns the options that training would get. text: a configuration file."""
    got: list[TrainOptions] = []
    monkeypatch.setattr(training, "train", lambda options, workspace: got.append(options) or Done())

    def call(*arguments: str, text: str | None = None) -> TrainOptions:
        words = [*arguments]
        if text is not None:
            (tmp_path / "options.toml").write_text(text)
            words += ["--config", str(tmp_path / "options.toml")]
        assert run(["train", "-w", str(tmp_path), *words]) == 0, capsys.readouterr().err
        return got[-1]

    return call


@pytest.fixture
def refused(monkeypatch, tmp_path, capsys) -> Callable[..., str]:
    """Run `hashpipe train ARGUMENTS`, which must end with exit code 2; returns the one sentence."""

    def never(options: TrainOptions, workspace: Path) -> None:
        pytest.fail(f"training began with {options}")

    monkeypatch.setattr(training, "train", never)

    def call(*arguments: str, text: str | None = None) -> str:
        words = [*arguments]
        if text is not None:
            (tmp_path / "options.toml").write_text(text)
            words += ["--config", str(tmp_path / "options.toml")]
        assert run(["train", "-w", str(tmp_path), *words]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        lines = shown.err.strip().splitlines()
        assert len(lines) == 1, shown.err
        assert lines[0].endswith((".", "?"))
        return lines[0].removeprefix("hashpipe: ")

    return call


def test_help_lists_at_most_fifteen_options(capsys):
    assert run(["train", "-h"]) == 0
    shown = capsys.readouterr().out
    listed = re.findall(r"^  (?:-\w, )?(--[\w-]+)", shown, flags=re.M)
    assert 10 < len(listed) <= 15
    assert {"--bits", "--objective", "--set", "--config", "--help"} <= set(listed)
    assert "docs/commands.md" in shown


def test_without_arguments_everything_is_the_default(asked):
    assert asked() == TrainOptions(method=JointOptions())


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("margin=0.5", "margin", 0.5),
        ("margin=1", "margin", 1.0),
        ("margin=1e-3", "margin", 0.001),
        ("neighbourhood=12", "neighbourhood", 12),
        ("information=false", "information", False),
        (" information = true ", "information", True),
    ],
)
def test_set_reads_numbers_and_truth_values_of_the_objective(asked, setting, name, value):
    found = asked("--set", setting)
    assert getattr(found.method, name) == value
    assert type(getattr(found.method, name)) is type(value)


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("bits=8,32", "bits", (8, 32)),
        ("bits=[8, 32]", "bits", (8, 32)),
        ("bits=[8]", "bits", (8,)),
        ("bits=8", "bits", (8,)),
        ("objective=bcdh", "objective", "bcdh"),
        ('objective="bcdh"', "objective", "bcdh"),
        ("head=linear", "head", "linear"),
        ("photos=some/folder", "photos", Path("some/folder")),
        ("photos='a, b'", "photos", Path("a, b")),
        ("matryoshka=true", "matryoshka", True),
        ("batch-others=7", "batch_others", 7),
        ("pca=64", "pca", 64),
    ],
)
def test_set_reads_lists_text_and_paths_of_training(asked, setting, name, value):
    assert getattr(asked("--set", setting), name) == value


def test_set_reaches_the_descriptor_and_fine_tuning(asked):
    found = asked("--set", "pooling=mac", "--set", "scales=0.7,1", "--finetune", "last", "--set", "warm_up=3")
    assert (found.describe.pooling, found.describe.scales) == ("mac", (0.7, 1.0))
    assert (found.tune.finetune, found.tune.warm_up) == ("last", 3)


def test_the_command_line_wins_over_set_and_set_over_the_file(asked):
    text = "[train]\nsteps = 1\nseed = 1\nnoise = 0.5\nmargin = 0.5\n"
    found = asked("--steps", "3", "--set", "steps=2", "--set", "seed=2", "--set", "margin=0.125", text=text)
    assert (found.steps, found.seed, found.noise, found.method.margin) == (3, 2, 0.5, 0.125)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_configuration_file_holds_the_options_of_the_objective(asked, objective):
    options = objective_class(objective).Options
    lines = ["[train]", f'objective = "{objective}"', "bits = [16, 32]"]
    changed = {}
    for one in fields(options):
        if isinstance(one.default, bool):
            changed[one.name] = not one.default
        elif isinstance(one.default, (int, float)):
            changed[one.name] = one.default * 2 if "max" not in one.metadata else one.metadata["max"]
    lines += [f"{name} = {str(value).lower()}" for name, value in changed.items()]
    found = asked(text="\n".join(lines))
    assert found == TrainOptions((16, 32), objective, method=options(**changed))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--objective", "dsah", "--temperature", "0.2"), "--objective dsah does not read temperature; joint"),
        (("--objective", "dsah", "--margin", "0.2"), "--objective dsah does not read margin;"),
        (("--objective", "dsah", "--no-pairwise"), "--objective dsah does not read pairwise;"),
        (("--objective", "bcdh", "--temperature", "0.2"), "--objective bcdh does not read temperature;"),
        (("--objective", "bcdh", "--no-balance"), "--objective bcdh does not read balance; dsrh and ssdh do;"),
        (("--objective", "bcdh", "--no-preserve"), "No objective has a part preserve any more; omit it."),
        (
            ("--faithful",),
            "--objective joint does not read official (--faithful of hashpipe 0.1); dsah, ath and drlih do",
        ),
    ],
)
def test_an_option_that_the_objective_does_not_read_is_refused(refused, arguments, said):
    sentence = refused(*arguments)
    assert sentence.startswith(said)
    assert sentence.endswith("; omit it.")


def test_so_is_every_setting_of_another_objective(refused):
    """By --set and in a file, for each objective and each option of the others."""
    read = {name: {one.name for one in fields(objective_class(name).Options)} for name in OBJECTIVES}
    tried = 0
    for objective, own in read.items():
        for other in sorted(set().union(*read.values()) - own):
            readers = [name for name in OBJECTIVES if other in read[name]]
            sentence = refused("--objective", objective, "--set", f"{other}=1")
            assert sentence.startswith(f"--objective {objective} does not read {other}")
            assert all(reader in sentence for reader in readers)
            tried += 1
    assert tried > 20
    sentence = refused("--objective", "dsah", text="[train]\ntemperature = 0.3\n")
    assert "[train] has no option 'temperature'" in sentence


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("margn=0.5", "There is no option margn of train; did you mean margin?"),
        ("step=5", "There is no option step of train; did you mean steps"),
        ("xyzzy=5", "There is no option xyzzy of train; joint reads "),
        ("margin", "--set margin is not a setting; write it as name=value."),
        ("=5", "--set =5 is not a setting; write it as name=value."),
        ("margin=wide", "--set margin is 'wide' but takes a number; correct it there."),
        ("neighbourhood=1.5", "--set neighbourhood is 1.5 but takes a whole number; correct it there."),
        ("bits=8,many", "--set bits is 'many' but takes a whole number; correct it there."),
        ("information=1", "--set information is 1 but takes true or false; correct it there."),
        ("margin=-1", "--margin is -1.0; give at least 0.0."),
        ("warm_up=3", "--warm-up has an effect only with --finetune last or all, and it is none; give that, or omit"),
        ("objective=joynt", "--objective joynt is not known; choose joint"),
    ],
)
def test_what_cannot_be_set(refused, setting, said):
    assert refused("--set", setting).startswith(said)


# Options of hashpipe 0.1 that are not listed any more -> what they mean today
FORMER = [
    ((), {}, {}),
    (("--learning-rate", "0.1"), {"learning_rate": 0.1}, {}),
    (("--batch-pairs", "5"), {"batch_pairs": 5}, {}),
    (("--batch-others", "5"), {"batch_others": 5}, {}),
    (("--noise", "0.1"), {"noise": 0.1}, {}),
    (("--pca", "8"), {"pca": 8}, {}),
    (("--no-pairs",), {"pairs": False}, {}),
    (("--no-recentre",), {"recentre": False}, {}),
    (("--patience", "2"), {"patience": 2}, {}),
    (("--tensorboard",), {"tensorboard": True}, {}),
    (("--benchmark", "cifar10", "--root", "files"), {"benchmark": "cifar10", "root": Path("files")}, {}),
    (("--nested",), {"matryoshka": True}, {}),
    (("--no-nested",), {"matryoshka": False}, {}),
    (("--hidden", "0"), {}, {}),
    (("--pairwise",), {}, {}),
    (("--no-pairwise",), {}, {"pairwise": 0.0, "constraint": 0.0}),
    (("--neighbours",), {}, {}),
    (("--no-neighbours",), {}, {"neighbours": 0.0}),
    (("--no-balance",), {}, {}),
    (("--no-preserve",), {}, {}),
    (("--no-binary-step",), {}, {}),
    (("--no-information",), {}, {"information": False}),
    (("--information",), {}, {"information": True}),
    (("--margin", "0.5"), {}, {"margin": 0.5}),
    (("--temperature", "0.5"), {}, {"temperature": 0.5}),
    (("--neighbourhood", "9"), {}, {"neighbourhood": 9}),
]


@pytest.mark.parametrize(("arguments", "options", "method"), FORMER, ids=lambda one: " ".join(one) or "none")
def test_options_of_0_1_go_on_working(asked, arguments, options, method):
    assert asked(*arguments) == TrainOptions(**options, method=JointOptions(**method))


def test_options_of_0_1_of_the_other_objectives(asked):
    assert asked("--objective", "dsah", "--faithful").method == DsahOptions(official=True)
    assert asked("--objective", "dsah", "--no-faithful", "--neighbourhood", "3").method == DsahOptions(neighbourhood=3)
    assert asked("--objective", "dsah", "--no-information").method == DsahOptions(information=False)
    assert asked("--objective", "bcdh", "--no-binary-step").method == BcdhOptions(binary_step=False)
    assert asked("--objective", "bcdh", "--margin", "0.5").method == BcdhOptions(margin=0.5)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--image-size", "96"),
        ("--pooling", "mac"),
        ("--scales", "0.7,1"),
        ("--words", "8"),
        ("--device", "cpu"),
    ],
)
def test_options_of_the_descriptor_go_on_working(asked, arguments):
    assert asked(*arguments) != asked()


def test_a_configuration_file_of_0_1_goes_on_working(asked):
    text = """[train]
        bits = [16, 64]
        steps = 100
        pairwise = true
        neighbours = false
        information = true
        binary-step = true
        balance = false
        preserve = true
        nested = true
        hidden = 0
        margin = 0.5
    """
    found = asked(text=text)
    method = JointOptions(neighbours=0.0, margin=0.5)
    assert found == TrainOptions((16, 64), steps=100, matryoshka=True, method=method)
    assert asked(text='[train]\nobjective = "dsah"\nfaithful = true\n').method == DsahOptions(official=True)
    assert asked(text="[train]\nneighbours = 0.5\n").method == JointOptions(neighbours=0.5)


def test_a_hidden_layer_is_refused(refused):
    said = "--hidden has no meaning any more: heads have no hidden layer; omit it."
    assert refused("--hidden", "512") == said
    assert refused(text="[train]\nhidden = 512\n") == said


def test_resume_refuses_whatever_would_be_ignored(refused, tmp_path):
    for words in (("--steps", "3"), ("--set", "margin=1"), ("--no-balance",), ("--config", "options.toml")):
        sentence = refused("--resume", str(tmp_path / "run"), *words)
        assert sentence.startswith("--resume continues with the options of its run; omit --"), sentence
