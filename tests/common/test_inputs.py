"""No command replaces what it reads."""

from __future__ import annotations

import pytest

from hashpipe.common.errors import UserError
from hashpipe.common.inputs import keep_input


def test_inputs_inside_of_what_is_replaced(tmp_path):
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "out")
    for given in ("out", "out/deep/list.txt", "link/deep", "out/deep/../x"):
        with pytest.raises(
            UserError, match=r"--photos .* lies in .*out, which is replaced, and would be lost; move it\."
        ):
            keep_input(tmp_path / given, "--photos", tmp_path / "out", "move it")
    for given in ("outside", "out2/x", "."):
        keep_input(tmp_path / given, "--photos", tmp_path / "out", "move it")
    keep_input(None, "--photos", tmp_path / "out", "move it")
