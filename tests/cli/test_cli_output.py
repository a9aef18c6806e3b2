"""One JSON object on stdout and nothing beside it."""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path

import numpy as np

from hashpipe.cli.output import print_json, show


class Result:
    def as_json(self):
        return {
            "scalar": np.float32(0.5),
            "count": np.int64(3),
            "array": np.arange(3),
            "nan": [float("nan"), np.inf],
            "path": Path("a/b"),
            "tuple": (1, None, True),
            4: "key",
        }

    def as_text(self):
        return "a table\n"


def test_json_is_plain_and_valid(capfd):
    show(Result, as_json=True)
    got = json.loads(capfd.readouterr().out, parse_constant=lambda name: 1 / 0)
    assert got == {
        "scalar": 0.5,
        "count": 3,
        "array": [0, 1, 2],
        "nan": [None, None],
        "path": "a/b",
        "tuple": [1, None, True],
        "4": "key",
    }


def test_chatter_goes_to_stderr_with_json(capfd):
    def work():
        print("from Python")
        os.write(1, b"from a system call\n")
        ctypes.CDLL(None).printf(b"from C\n")
        return Result()

    show(work, as_json=True)
    out, err = capfd.readouterr()
    assert set(json.loads(out)) >= {"scalar"}
    for source in ("from Python", "from a system call", "from C"):
        assert source in err


def test_text(capfd):
    show(Result, as_json=False)
    assert capfd.readouterr().out == "a table\n"


def test_letters_of_any_script_stay_readable(capfd):
    print_json({"path": "Фото/猫 'é'.jpg"})
    assert "Фото/猫 'é'.jpg" in capfd.readouterr().out
