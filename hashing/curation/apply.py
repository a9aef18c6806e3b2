"""`hashpipe groups apply`: the copies in groups moved away, put into the trash, or made hard links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hashpipe.common.errors import UserError
from hashpipe.common.files import locked, open_workspace
from hashpipe.common.known_files import FILE, KnownFiles, Stamp, stamp
from hashpipe.common.paths import expanded
from hashpipe.common.progress import stage
from hashpipe.hashing.curation import files, steps
from hashpipe.hashing.curation.action_log import DONE, FOLDER, ActionLog, new_log, read_logs
from hashpipe.hashing.curation.options import ApplyOptions
from hashpipe.hashing.curation.plan import Act, Plan, make_plan
from hashpipe.hashing.curation.result import ApplyResult, Done
from hashpipe.hashing.curation.trash import trash_of


def apply_groups(workspace: Path, options: ApplyOptions, act: bool) -> ApplyResult:
    """Plan what happens to the copies in groups and, with `act`, do it. Raises UserError.

    A command that was killed leaves each photo under its old or its new name, or the log of actions says under which;
    the next command settles that first.
    """
    workspace = open_workspace(workspace, create=False)
    how = _how(options)
    folder = Path(options.groups) if options.groups is not None else workspace / "groups"
    if not act:
        plan = _plan(workspace, folder, options, how)
        acts = [Done(one, _shown_target(one, plan, options, how)) for one in plan.acts]
        return ApplyResult(how, False, plan.sets, acts, plan.left, plan.before, None)
    with locked(workspace / FOLDER):
        settle_all(workspace)
        plan = _plan(workspace, folder, options, how)
        if not plan.acts:
            return ApplyResult(how, True, plan.sets, [], plan.left, plan.before, None)
        head = {"action": how, "groups": str(folder), "keep": list(options.keep), "kinds": list(options.kinds)}
        log = new_log(workspace / FOLDER, head)
        done, left = _do(log, plan, workspace, options, how)
        return ApplyResult(how, True, plan.sets, done, [*plan.left, *left], plan.before, log.path)


def settle_all(workspace: Path) -> list[ActionLog]:
    """All logs of a workspace, after steps that a kill has interrupted were settled."""
    logs = read_logs(workspace / FOLDER)
    for log in logs:
        for step in log.steps.values():
            steps.settle(log, step)
    return logs


def _how(options: ApplyOptions) -> str:
    chosen = [name for name in ("move", "hardlink", "trash") if getattr(options, name)]
    if len(chosen) != 1:
        raise UserError("Say what happens to the copies: give one of --move DIR, --hardlink and --trash.")
    return chosen[0]


def _plan(workspace: Path, folder: Path, options: ApplyOptions, how: str) -> Plan:
    if not (folder / "groups.json").is_file():
        raise UserError(f"{folder} holds no groups; make them with `hashpipe groups`.")
    kinds = set(options.kinds)
    if how == "hardlink":  # other copies hold other bytes
        kinds &= {"exact"}
        if not kinds:
            raise UserError("--hardlink joins files of the same bytes; give --kinds exact, or --move or --trash.")
    acted = {
        step.record["source"]: f"`groups apply` took it away ({log.head['action']}, {log.path.name})"
        for log in read_logs(workspace / FOLDER)
        for step in log.steps.values()
        if step.state == DONE
    }
    plan = make_plan(folder, kinds, options.keep, KnownFiles(workspace / FILE), acted, how == "hardlink")
    if options.move is not None:
        _check_folder(expanded(options.move).absolute(), plan, workspace)
    return plan


def _check_folder(folder: Path, plan: Plan, workspace: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--move {folder} is not a folder; name another one.")
    real = folder.resolve()
    if real.is_relative_to(plan.root.resolve()) and not real.is_relative_to(workspace.resolve()):
        raise UserError(
            f"--move {folder} lies in the folder of the photos, {plan.root}, where the next `hashpipe encode PHOTOS` "
            "would find them again; name a folder outside."
        )


def _target(act: Act, plan: Plan, options: ApplyOptions) -> Path:
    """Where a photo is moved to; its folders below the photos' folder are kept."""
    assert options.move is not None
    path = act.photo.path.absolute()
    below = path.relative_to(plan.root) if path.is_relative_to(plan.root) else path.relative_to(path.anchor)
    return files.free_name(expanded(options.move).absolute() / below)


def _shown_target(act: Act, plan: Plan, options: ApplyOptions, how: str) -> Path | None:
    return _target(act, plan, options) if how == "move" else None


def _do(
    log: ActionLog, plan: Plan, workspace: Path, options: ApplyOptions, how: str
) -> tuple[list[Done], list[tuple[Path, str]]]:
    done: list[Done] = []
    left: list[tuple[Path, str]] = []
    kept: dict[Path, Stamp] = {}  # photos that stay, as they were when their content was last read
    with stage("act on groups", len(plan.acts), "photos") as advance:
        for number, act in enumerate(plan.acts, 1):
            try:
                with _as_reason():
                    _check(act, kept)
                    record = _record(act, plan, workspace, options, how)
                    _perform(log, number, record)
                done.append(Done(act, Path(record["target"]) if "target" in record else None))
            except steps.LeftAlone as reason:
                left.append((act.photo.path, str(reason)))
            advance(1)
    return done, left


def _perform(log: ActionLog, number: int, record: dict[str, Any]) -> None:
    step = log.begin(number, record)
    try:
        (steps.link if record["action"] == "hardlink" else steps.move)(log, step)
    except Exception:
        steps.settle(log, step)
        raise


def _check(act: Act, kept: dict[Path, Stamp]) -> None:
    """Raise LeftAlone unless both photos hold what they held, by their bytes, now."""
    keep = act.keep.path
    seen = stamp(keep)
    if kept.get(keep) != seen:
        if not files.holds(keep, act.keep.sha256) or stamp(keep) != seen:
            raise steps.LeftAlone(f"{keep}, which was to stay, is away or has changed")
        kept[keep] = seen
    if not files.holds(act.photo.path, act.photo.sha256):
        raise steps.LeftAlone("it has changed since the groups were made")


def _record(act: Act, plan: Plan, workspace: Path, options: ApplyOptions, how: str) -> dict[str, Any]:
    """All that is needed to finish a step or to take it back."""
    source = act.photo.path.absolute()
    record: dict[str, Any] = {
        "action": how,
        "source": str(source),
        "keep": str(act.keep.path.absolute()),
        "kind": act.kind,
        "sha256": act.photo.sha256,
        "traits": files.traits(source),
        "identity": files.identity(source),
    }
    if how == "hardlink":
        return {**record, "part": str(steps.token_name(source))}
    if how == "trash":
        real = Path(os.path.realpath(source.parent)) / source.name
        trash = trash_of(real, workspace / "trash")
        target, info = trash.place(real)
        record["info"] = {"path": str(info), "text": trash.text(real)}
    else:
        target = _target(act, plan, options)
    made = [str(folder) for folder in target.parents if not folder.exists()]
    return {**record, "target": str(target), "part": str(steps.token_name(target)), "made": made}


@contextmanager
def _as_reason() -> Iterator[None]:
    """What a disk refuses is a reason to leave a photo alone, and the others go on."""
    try:
        yield
    except OSError as error:
        raise steps.LeftAlone(
            f"{(error.strerror or str(error)).lower()} ({error.filename2 or error.filename})"
        ) from None
