"""`hashpipe doctor`: what is installed, what is missing, and the command that gets it."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hashpipe.cli.installed import Package, core_packages, install_command, optional_parts
from hashpipe.cli.options import json_option, workspace_option
from hashpipe.cli.output import show
from hashpipe.common.distribution import installed_version
from hashpipe.common.errors import UserError
from hashpipe.common.files import WORKSPACE_VERSION, read_json
from hashpipe.common.paths import expanded

_PURPOSE = {
    "heif": "reads HEIC photos",
    "jxl": "reads JPEG XL photos",
    "raw": "reads RAW photos without a large preview",
    "video": "reads frames of videos",
    "onnx": "exports the hash network and runs it faster on a processor",
    "serve": "the page and the HTTP API",
    "postgres": "keeps codes in PostgreSQL",
    "tensorboard": "plots the losses of a training",
    "test": "runs the tests",
    "dev": "checks and builds the project",
}
_WIDEST = max(map(len, _PURPOSE.values()))


@click.command("doctor")
@workspace_option
@json_option
@click.pass_context
def doctor_command(context: click.Context, workspace: Path, as_json: bool) -> None:
    """Say what is installed, what is missing and how to get it.

    Exit code 0: ready to use. Exit code 2: a required package is missing or broken.
    """
    checkup: list[Checkup] = []
    show(lambda: checkup.append(examine(workspace)) or checkup[0], as_json)  # type: ignore[func-returns-value]
    context.exit(0 if checkup[0].healthy else 2)


@dataclass(frozen=True)
class Checkup:
    """Everything that `doctor` reports."""

    versions: dict[str, str]
    core: list[Package]
    optional: dict[str, list[Package]]
    devices: dict[str, Any]
    weights: list[str]
    weights_folder: str
    workspace: dict[str, Any]

    @property
    def healthy(self) -> bool:
        return all(package.state == "ok" for package in self.core)

    def as_json(self) -> dict[str, Any]:
        missing = {name: install_command(name) for name in self.optional if not self._has(name)}
        return {"healthy": self.healthy, **dataclasses.asdict(self), "missing_optional": missing}

    def as_text(self) -> str:
        lines = [", ".join(f"{name} {version}" for name, version in self.versions.items()), "", "Core"]
        for package in self.core:
            note = package.problem or package.note
            lines.append(f"  {package.name:<14}{package.version or '-':<14}{package.state:<15}{note}".rstrip())
            if package.fix:
                lines.append(f"      {package.fix}")
        lines += ["", "Optional"]
        for name in self.optional:
            state = "ok" if self._has(name) else "not installed"
            lines.append(f"  {name:<14}{_PURPOSE.get(name, ''):<{_WIDEST}}  {state}")
            if not self._has(name):
                lines.append(f"      {install_command(name)}")
        devices = self.devices
        lines += ["", "Machine", f"  processors    {devices['cpus']}", f"  memory        {_bytes(devices['memory'])}"]
        lines += [f"  CUDA          {', '.join(devices['cuda']) or 'none; everything runs on the processors'}"]
        lines += [f"  free disk     {_bytes(devices['free_disk'])} at {devices['disk']}"]
        cached = ", ".join(self.weights) or "none cached; `--backbone vlad` needs none"
        lines += ["", "Backbone weights", f"  {cached} ({self.weights_folder})"]
        lines += ["", f"Workspace {self.workspace['path']}", f"  {self.workspace['state']}"]
        lines += ["", "All is well." if self.healthy else "Run the commands above, then `hashpipe doctor` again."]
        return "\n".join(lines)

    def _has(self, name: str) -> bool:
        return all(package.state == "ok" for package in self.optional[name])


def examine(workspace: Path) -> Checkup:
    """Look at packages, machine, cached weights and workspace; changes nothing."""
    core = core_packages()
    folder = _weights_folder()
    return Checkup(
        versions={"hashpipe": installed_version(), "Python": platform.python_version(), **_system()},
        core=core,
        optional=optional_parts(),
        devices=_devices(core, workspace),
        weights=sorted(path.name for path in folder.glob("*.pth")) if folder.is_dir() else [],
        weights_folder=str(folder),
        workspace=_workspace_state(workspace),
    )


def _system() -> dict[str, str]:
    return {platform.system(): f"{platform.release()} {platform.machine()}"}


def _devices(core: list[Package], workspace: Path) -> dict[str, Any]:
    cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    place = next(
        folder for folder in (Path(workspace).absolute(), *Path(workspace).absolute().parents) if folder.is_dir()
    )
    cuda = [name for package in core if package.name == "torch" for name in package.note.split(", ") if name]
    return {
        "cpus": cpus,
        "memory": memory,
        "cuda": cuda,
        "disk": str(place),
        "free_disk": shutil.disk_usage(place).free,
    }


def _weights_folder() -> Path:
    """Where torchvision keeps what it downloaded (the rule of torch.hub, without importing torch).

    The ~ stays where the account has no home folder.
    """
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(os.path.expanduser(home), "hub", "checkpoints")


def _workspace_state(workspace: Path) -> dict[str, Any]:
    """State in one sentence, and counts of what it holds."""
    path = expanded(workspace).absolute()
    found: dict[str, Any] = {"path": str(path), "version": None, "holds": {}}
    if not (path / "workspace.json").exists():
        return {**found, "state": "none yet; `hashpipe pairs build PHOTOS` makes it"}
    try:
        marker = read_json(path / "workspace.json")
        found["version"] = marker.get("workspace_version") if isinstance(marker, dict) else None
        if found["version"] != WORKSPACE_VERSION:
            return {**found, "state": f"of version {found['version']}, this hashpipe reads version {WORKSPACE_VERSION}"}
        if (path / "pairs" / "meta.json").exists():
            found["holds"]["pairs"] = read_json(path / "pairs" / "meta.json").get("counts", {})
    except UserError as error:
        return {**found, "state": str(error)}
    if (path / "model" / "config.json").exists():
        found["holds"]["model"] = True
    said = [f"{count} {name}" for name, count in found["holds"].get("pairs", {}).items()]
    said += ["a model"] if "model" in found["holds"] else []
    return {**found, "state": f"version {found['version']}, holds {', '.join(said) or 'nothing finished yet'}"}


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
