"""Options from dataclasses, and dataclasses from command line, file and defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import click
import pytest
from click.testing import CliRunner

from hashpipe.cli.option_fields import options_of
from hashpipe.cli.options import build, options_from
from hashpipe.common.errors import UserError
from hashpipe.hashing.duplicates.options import GroupsOptions
from hashpipe.hashing.export.options import ExportOptions
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.hashing.search.options import SearchOptions
from hashpipe.hashing.training.options import TrainOptions


@dataclass(frozen=True)
class Inner:
    name: str = field(
        default="vlad", metadata={"help": "network", "flag": "--backbone", "choices": ("vlad", "resnet18")}
    )
    weights: Path | None = field(default=None, metadata={"help": "file of weights"})


@dataclass(frozen=True)
class Outer:
    bits: tuple[int, ...] = field(default=(16, 64), metadata={"help": "code lengths", "min": 4, "max": 4096})
    rate: float = field(default=0.5, metadata={"help": "learning rate", "min": 0})
    window: tuple[float, float] = field(default=(0.0, 1.0), metadata={"help": "two bounds"})
    mode: Literal["fast", "exact"] = field(default="fast", metadata={"help": "how"})
    resume: bool = field(default=True, metadata={"help": "go on"})
    learning_seed: int = field(default=0, metadata={"help": "seed", "short": "s"})
    secret: int = field(default=7, metadata={"cli": False})
    inner: Inner = field(default_factory=Inner)


def from_command_line(*arguments: str, config: Path | None = None):
    taken = []

    @click.command()
    @options_from(Outer)
    def command(**given):
        taken.append(build(Outer, given, config, "train"))

    result = CliRunner().invoke(command, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return taken[0] if taken else result.output


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "options.toml"
    path.write_text(text)
    return path


def test_defaults():
    assert from_command_line() == Outer()


def test_every_kind_of_value():
    got = from_command_line(
        *["--bits", "8,32", "--rate", "1e-3", "--window", "0.1,0.9", "--mode", "exact", "--no-resume", "-s", "3"],
        *["--backbone", "resnet18", "--weights", "a/b.safetensors"],
    )
    inner = Inner("resnet18", Path("a/b.safetensors"))
    assert got == Outer((8, 32), 1e-3, (0.1, 0.9), "exact", False, 3, 7, inner)


def test_file_below_command_line_above_defaults(tmp_path):
    config = written(
        tmp_path, '[train]\nbits = 8\nrate = 1\nresume = false\nlearning-seed = 5\nbackbone = "resnet18"\n'
    )
    got = from_command_line("--learning-seed", "6", config=config)
    assert got == Outer(bits=(8,), rate=1.0, resume=False, learning_seed=6, inner=Inner("resnet18"))


def test_false_on_the_command_line_wins_over_the_file(tmp_path):
    config = written(tmp_path, "[train]\nresume = true\nlearning_seed = 5\n")
    got = from_command_line("--no-resume", "-s", "0", config=config)
    assert (got.resume, got.learning_seed) == (False, 0)


def test_help_shows_text_choices_and_default():
    shown = " ".join(from_command_line("--help").split())
    assert "--bits INTEGER,... Code lengths. [default: 16,64]" in shown
    assert "--mode [fast|exact] How. [default: fast]" in shown
    assert "--resume / --no-resume Go on. [default: on]" in shown
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--bits", "0"), "--bits is 0; give 4 to 4096."),
        (("--bits", "16,-8"), "--bits is -8; give 4 to 4096."),
        (("--bits", "100000"), "--bits is 100000; give 4 to 4096."),
        (("--rate", "-1"), "--rate is -1.0; give at least 0."),
    ],
)
def test_out_of_range(arguments, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        from_command_line(*arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--bits", "abc"), "'abc' is not a valid integer"),
        (("--bits", ","), "is not one or more values"),
        (("--window", "1"), "is not 2 values"),
        (("--mode", "quick"), "'quick' is not one of 'fast', 'exact'"),
        (("--backbone", "resnet"), "'resnet' is not one of"),
        (("--bitz", "3"), "--bits"),
    ],
)
def test_wrong_on_the_command_line(arguments, said):
    assert said in from_command_line(*arguments)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[train]\nbitz = 8", r"\[train\] has no option 'bitz'; did you mean bits\?"),
        ("[train]\nqqq = 8", "known are backbone, bits"),
        ("[train]\nsecret = 8", "has no option 'secret'"),
        ("[train]\nbits = 'many'", "bits is 'many' but takes a whole number"),
        ("[train]\nbits = [8, true]", "bits is True but takes a whole number"),
        ("[train]\nrate = '1'", "rate is '1' but takes a number"),
        ("[train]\nresume = 1", "resume is 1 but takes true or false"),
        ("[train]\nmode = 'quick'", "mode is 'quick'; choose one of fast, exact"),
        ("[train]\nwindow = [1.0]", "takes 2 values"),
        ("[train]\nbits = 2", "--bits is 2; give 4 to 4096"),
        ("[trian]\nbits = 8", r"unknown table \[trian\]; did you mean \[train\]\?"),
        ("[pairs.biuld]\nx = 8", r"unknown table \[pairs.biuld\]; did you mean \[pairs.build\]\?"),
        ("bits = 8", "unknown key 'bits' outside a table"),
        ("[train\n", "is not valid TOML"),
        ("[train]\nbits = " + 5000 * "9", "is not valid TOML"),
        ("[train]\nbits = " + 5000 * "[", "is not valid TOML"),
    ],
)
def test_wrong_in_the_file(tmp_path, text, said):
    with pytest.raises(UserError, match=said) as caught:
        from_command_line(config=written(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dataclass", "given", "said"),
    [
        (IndexOptions, {"links": 32}, "--links has an effect only with --kind hnsw, and it is flat;"),
        (IndexOptions, {"links": 32, "kind": "mih"}, "and it is mih; give that, or omit it."),
        (IndexOptions, {"recall_sample": 5}, "only with --kind hnsw or ivf or mih, and it is flat;"),
        (SearchOptions, {"verify_top": 5}, "--verify-top has an effect only with --verify; give that"),
        (SearchOptions, {"table": "x"}, "--table has an effect only with --postgres;"),
        (GroupsOptions, {"near_radius": 0}, "--near-radius has an effect only with --look off, and it is quick;"),
        (GroupsOptions, {"alike": 0.9, "look": "off"}, "--alike has an effect only with --look quick or match,"),
        (ExportOptions, {"table": "x"}, "--table has an effect only with --to postgres, and it is csv;"),
        (TrainOptions, {"augment": False}, "--augment has an effect only with --finetune last or all, and it is none"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(dataclass, given, said):
    with pytest.raises(UserError) as caught:
        build(dataclass, given)
    assert said in str(caught.value)


def test_an_option_that_has_an_effect_is_taken(tmp_path):
    assert build(IndexOptions, {"links": 16, "kind": "hnsw"}).links == 16
    config = written(tmp_path, '[index.build]\nkind = "hnsw"\nlinks = 8\n')
    assert build(IndexOptions, {"links": 16}, config, "index.build").links == 16
    assert build(IndexOptions, {"kind": "flat"}, config, "index.build").links == 8  # a file may say more than is needed
    assert build(SearchOptions, {"verify": True, "verify_top": 3}).verify_top == 3
    assert build(SearchOptions, {"hnsw": False}) == SearchOptions()
    assert build(GroupsOptions, {"look": "off", "near_radius": 0}).near_radius == 0


@pytest.mark.parametrize("dataclass", [IndexOptions, SearchOptions, GroupsOptions, ExportOptions, TrainOptions])
def test_what_an_option_needs_can_be_given(dataclass):
    known = {option.name: option for option in options_of(dataclass)}
    needing = [option for option in known.values() if "only" in option.metadata]
    assert needing
    for option in needing:
        other, *values = option.metadata["only"]
        assert set(values) <= set(known[other].choices), option.flag
        assert values or not known[other].default, option.flag


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"none\.toml does not exist"):
        from_command_line(config=tmp_path / "none.toml")
    with pytest.raises(UserError, match="cannot be read"):
        from_command_line(config=tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_files_of_other_systems(tmp_path, encoding, end):
    config = tmp_path / "options.toml"
    config.write_bytes(f"# été{end}[train]{end}rate = 2.0{end}".encode(encoding))
    assert from_command_line(config=config).rate == 2.0
    config.write_bytes(b"[train]\n# \xe9\nrate = 2.0\n")
    with pytest.raises(UserError, match=r"--config .* is not UTF-8 \(byte e9 in line 2\)"):
        from_command_line(config=config)


def test_two_dataclasses_may_share_a_table(tmp_path):
    config = written(tmp_path, '[train]\nrate = 2.0\nbackbone = "resnet18"\n')
    assert build(Inner, {}, config, "train", also=(Outer,)) == Inner("resnet18")
    with pytest.raises(UserError, match="no option 'rate'"):
        build(Inner, {}, config, "train")


def test_a_table_that_is_absent_gives_defaults(tmp_path):
    assert build(Outer, {}, written(tmp_path, "[eval]\nx = 1\n"), "train") == Outer()
