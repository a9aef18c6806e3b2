"""`hashpipe doctor` on this installation, and its advice where something is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from hashpipe.cli import doctor, installed
from hashpipe.common.files import write_json


@pytest.fixture(scope="module")
def checkup(tmp_path_factory):
    return doctor.examine(tmp_path_factory.mktemp("doctor") / "ws")


def test_this_installation_is_whole(checkup):
    assert checkup.healthy, [package for package in checkup.core if package.state != "ok"]
    names = {package.name for package in checkup.core}
    assert {"torch", "torchvision", "pycolmap", "open3d", "faiss-cpu", "click"} <= names
    assert {"test", "dev"} <= set(checkup.optional)


def test_text_has_versions_devices_and_workspace(checkup):
    text = checkup.as_text()
    for word in ("hashpipe 0.", "Python 3.", "torch", "processors", "memory", "free disk", "Workspace", "none yet"):
        assert word in text
    assert text.endswith("All is well.")


def test_the_state_stands_apart_from_the_longest_purpose(checkup):
    lines = [line for line in checkup.as_text().splitlines() if doctor._PURPOSE["onnx"] in line]
    assert lines
    assert all(line.endswith(("  ok", "  not installed")) for line in lines)


def test_command_line(hashpipe):
    done = hashpipe("doctor", "--json")
    assert done.returncode == 0
    got = json.loads(done.stdout)
    assert got["healthy"] is True
    assert got["workspace"]["version"] is None


def test_missing_and_unfit_packages():
    missing = installed._look_up("hashpipe-no-such-package>=1")
    assert (missing.state, missing.version) == ("missing", None)
    assert missing.fix.endswith("-m pip install 'hashpipe-no-such-package>=1'")
    unfit = installed._look_up("click>=900")
    assert unfit.state == "wrong version"
    assert "does not meet >=900" in unfit.problem


@pytest.mark.parametrize(
    ("name", "problem", "fix"),
    [
        ("open3d", "OSError: libGL.so.1: cannot open shared object file", "apt-get install -y libgl1"),
        ("open3d", "OSError: libusb-1.0.so.0: cannot open", "apt-get install -y libusb-1.0-0"),
        ("torchvision", "RuntimeError: operator torchvision::nms does not exist", "torch torchvision"),
        ("pycolmap", "ended by signal 6", "--force-reinstall 'pycolmap>=4'"),
    ],
)
def test_advice_for_what_cannot_be_imported(name, problem, fix):
    package = installed._with_trial(installed.Package(name, ">=4", "4.1", "ok"), problem, "")
    assert package.state == "broken"
    assert package.fix.endswith(fix)


def test_trial_import_reports_failure(monkeypatch):
    monkeypatch.setitem(installed._TRIALS, "broken", "raise RuntimeError('no such operator')")
    monkeypatch.setitem(installed._TRIALS, "crash", "import os; os.abort()")
    assert installed._try_import("broken") == ("RuntimeError: no such operator", "")
    assert installed._try_import("crash") == ("ended by signal 6", "")


def test_broken_core_is_exit_code_2(checkup):
    core = [installed.Package("torch", "", "2.13", "broken", "no", "pip install"), *checkup.core]
    ill = doctor.Checkup(**{**vars(checkup), "core": core})
    assert not ill.healthy
    assert "pip install" in ill.as_text()
    assert ill.as_text().endswith("then `hashpipe doctor` again.")


def test_requirements_of_other_pythons_are_left_out():
    assert installed._for_this_python("")
    assert installed._for_this_python('python_version >= "3.10"')
    assert not installed._for_this_python('python_version < "3.10"')


@pytest.mark.parametrize(
    ("marker", "state"),
    [
        ({"workspace_version": 1}, "version 1, holds nothing finished yet"),
        ({"workspace_version": 99}, "of version 99, this hashpipe reads version 1"),
        ([], "of version None, this hashpipe reads version 1"),
    ],
)
def test_workspace_state(tmp_path, marker, state):
    write_json(tmp_path / "workspace.json", marker)
    assert doctor._workspace_state(tmp_path)["state"] == state


def test_damaged_workspace_is_told(tmp_path):
    (tmp_path / "workspace.json").write_text("{")
    assert "is damaged" in doctor._workspace_state(tmp_path)["state"]


def test_cached_weights_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert doctor._weights_folder() == tmp_path / "hub" / "checkpoints"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_install_command_is_one_shell_line():
    command = installed.install_command("heif")
    assert subprocess.run(["bash", "-n", "-c", command]).returncode == 0
    assert "[heif]" in command


def test_an_account_without_name_and_home(tmp_path):
    """A container's usual user: a number without an entry in passwd."""
    other = ["unshare", "-U", "--map-user=54321", "--map-group=54321"]
    try:
        possible = subprocess.run([*other, "true"], capture_output=True).returncode == 0
    except OSError:
        possible = False
    if not possible:
        pytest.skip("no user namespaces here")
    script = (
        "from hashpipe.cli import doctor, installed\n"
        "print(installed._try_import('pyarrow'), doctor._weights_folder())\n"
        "from hashpipe.hashing.encoding import engines\n"
        "print([engines._extra(name).__name__ for name in ('openvino', 'onnx') if engines.installed(name)])"
    )
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "PYTHONSAFEPATH") if name in os.environ}
    done = subprocess.run(
        [*other, sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**kept, "TMPDIR": "/nonexistent"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("('', '') ~/.cache/torch/hub/checkpoints\n"), done.stdout
