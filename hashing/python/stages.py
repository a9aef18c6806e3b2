"""Every stage after the pairs as one function: paths as text or Path, options as a dataclass or as keywords.

Keywords are the fields of the stage's dataclass of options. Each function raises UserError for an error that the user
can fix: its text is one sentence that says how.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

from hashpipe.common.errors import UserError
from hashpipe.common.option_values import from_keywords, names_of, typed
from hashpipe.hashing.calibration.options import CalibrateOptions
from hashpipe.hashing.duplicates.options import GroupsOptions
from hashpipe.hashing.encoding.options import EncodeOptions, OnnxOptions
from hashpipe.hashing.evaluation.options import EvalOptions
from hashpipe.hashing.export.options import ExportOptions
from hashpipe.hashing.search.index_options import IndexOptions
from hashpipe.hashing.search.options import SearchOptions
from hashpipe.hashing.training.options import AdaptOptions, TrainOptions

if TYPE_CHECKING:
    from hashpipe.hashing.calibration.calibrate import CalibrateResult
    from hashpipe.hashing.duplicates.against import AgainstResult
    from hashpipe.hashing.duplicates.groups import GroupsResult
    from hashpipe.hashing.encoding.result import EncodeResult
    from hashpipe.hashing.evaluation.result import EvalResult
    from hashpipe.hashing.export.export_codes import ExportResult
    from hashpipe.hashing.export.export_onnx import OnnxResult
    from hashpipe.hashing.search.index_result import IndexResult
    from hashpipe.hashing.search.results import SearchResult
    from hashpipe.hashing.training.adapt import AdaptResult
    from hashpipe.hashing.training.train_result import TrainResult

Place = str | os.PathLike[str]  # a path as text or Path


@overload
def train(options: TrainOptions | None, workspace: Place, **chosen: Any) -> TrainResult: ...
@overload
def train(options: Place, **chosen: Any) -> TrainResult: ...
@overload
def train(*, workspace: Place, **chosen: Any) -> TrainResult: ...
def train(options: TrainOptions | Place | None = None, workspace: Place | None = None, **chosen: Any) -> TrainResult:
    """Learn codes and write the folder `model` of the workspace: `train("workspace", bits=64, backbone="vlad")`.

    Keywords: fields of TrainOptions, BackboneOptions and FinetuneOptions, and options of the objective.
    """
    from hashpipe.hashing.training import train as stage

    options, where = _workspace(options, workspace)
    return stage.train(_train_options(cast("TrainOptions | None", options), chosen), where)


@overload
def evaluate(options: EvalOptions | None, workspace: Place, **chosen: Any) -> EvalResult: ...
@overload
def evaluate(options: Place, **chosen: Any) -> EvalResult: ...
@overload
def evaluate(*, workspace: Place, **chosen: Any) -> EvalResult: ...
def evaluate(options: EvalOptions | Place | None = None, workspace: Place | None = None, **chosen: Any) -> EvalResult:
    """Score the workspace's model, or anyone's codes, on held-out photos or a benchmark; writes `eval`.

    Keywords: fields of EvalOptions.
    """
    from hashpipe.hashing import evaluation

    options, where = _workspace(options, workspace)
    return evaluation.evaluate(from_keywords(EvalOptions, options, chosen), where)


def encode(
    photos: Place | Sequence[Place], workspace: Place, options: EncodeOptions | None = None, **chosen: Any
) -> EncodeResult:
    """Encode a folder, a list file, one photo or several with the workspace's model; writes `codes.parquet`.

    Keywords: fields of EncodeOptions.
    """
    from hashpipe.hashing.encoding import encode as stage

    return stage.encode(_photos(photos), Path(workspace), from_keywords(EncodeOptions, options, chosen))


def adapt(photos: Place, workspace: Place, options: AdaptOptions | None = None, **chosen: Any) -> AdaptResult:
    """Take the workspace's model to the photos of another collection, without labels or 3D; writes `adapted`.

    Keywords: fields of AdaptOptions.
    """
    from hashpipe.hashing.training import adapt as stage

    return stage.adapt(Path(photos), Path(workspace), from_keywords(AdaptOptions, options, chosen))


def build_index(
    workspace: Place, codes: Place | Sequence[Place] = (), options: IndexOptions | None = None, **chosen: Any
) -> IndexResult:
    """Build the search index of a workspace from its codes file, or from others; writes `index`.

    Keywords: fields of IndexOptions.
    """
    from hashpipe.hashing.search import index_commands

    files = [codes] if isinstance(codes, (str, os.PathLike)) else codes
    chosen_options = from_keywords(IndexOptions, options, chosen)
    return index_commands.build_index([Path(one) for one in files], Path(workspace), chosen_options)


def search(
    photos: Place | Sequence[Place], workspace: Place, options: SearchOptions | None = None, **chosen: Any
) -> SearchResult:
    """Find the photos of an index that look like one photo, or like each of several.

    A photo is a file, or the end of the path of a photo of the index. Keywords: fields of SearchOptions.
    """
    from hashpipe.hashing.search import search as stage

    queries = [photos] if isinstance(photos, (str, os.PathLike)) else photos
    found = from_keywords(SearchOptions, options, chosen)
    return stage.search([os.fspath(one) for one in queries], Path(workspace), found)


def calibrate(workspace: Place, options: CalibrateOptions | None = None, **chosen: Any) -> CalibrateResult:
    """Measure false matches and recall for each radius on the workspace's own pairs; writes `calibration.json`.

    Keywords: fields of CalibrateOptions.
    """
    from hashpipe.hashing.calibration import calibrate as stage

    return stage.calibrate(Path(workspace), from_keywords(CalibrateOptions, options, chosen))


def group(workspace: Place, options: GroupsOptions | None = None, **chosen: Any) -> GroupsResult | AgainstResult:
    """Find duplicates, bursts and photos of one place among the codes of a workspace; writes `groups`, deletes nothing.

    With against=REFERENCE (a folder, codes file or workspace) lists the photos that the reference holds already.
    Keywords: fields of GroupsOptions.
    """
    wanted = from_keywords(GroupsOptions, options, chosen)
    if wanted.against is not None:
        from hashpipe.hashing.duplicates import against

        return against.against(Path(workspace), wanted)
    from hashpipe.hashing.duplicates import groups as stage

    return stage.groups(Path(workspace), wanted)


def export(
    workspace: Place, to: str = "csv", options: ExportOptions | OnnxOptions | None = None, **chosen: Any
) -> ExportResult | OnnxResult:
    """Write codes for other programs (to: csv, faiss, npy, fiftyone, postgres), or the model as one file (to: onnx).

    Keywords: fields of ExportOptions, for onnx of OnnxOptions.
    """
    if to == "onnx":
        from hashpipe.hashing.export import export_onnx

        return export_onnx.export_onnx(Path(workspace), from_keywords(OnnxOptions, options, chosen))
    from hashpipe.hashing.export import export_codes

    return export_codes.export_codes(Path(workspace), from_keywords(ExportOptions, options, {"to": to, **chosen}))


def _photos(photos: Place | Sequence[Place]) -> Path | list[Path]:
    return Path(photos) if isinstance(photos, (str, os.PathLike)) else [Path(one) for one in photos]


def _workspace(options: Any, workspace: Place | None) -> tuple[Any, Path]:
    """Options and workspace of a function whose first argument may be either."""
    if isinstance(options, (str, os.PathLike)):
        if workspace is not None:
            raise UserError(f"Two workspaces were named, {options} and {workspace}; name one.")
        options, workspace = None, options
    if workspace is None:
        raise UserError("No workspace was named; give its folder, as in train('workspace').")
    return options, Path(workspace)


def _train_options(options: TrainOptions | None, chosen: dict[str, Any]) -> TrainOptions:
    """Keywords that are no fields of TrainOptions are options of the objective."""
    mine = set(names_of(TrainOptions)) | {"describe", "tune"}
    own = {name: value for name, value in chosen.items() if name in mine}
    others = {name: value for name, value in chosen.items() if name not in mine}
    found: TrainOptions = from_keywords(TrainOptions, options, own)
    if not others and not isinstance(found.method, dict):
        return found
    from dataclasses import fields, replace

    from hashpipe.hashing.training.objectives import objective_class

    kind = objective_class(found.objective).Options
    given = dict(found.method) if isinstance(found.method, dict) else {}
    start = None if isinstance(found.method, dict) else found.method
    settings = {**given, **others}
    if unknown := set(settings) - {one.name for one in fields(kind)}:
        from_keywords(TrainOptions, None, {name: settings[name] for name in sorted(unknown)})  # says what is near
    method = from_keywords(kind, start, settings)
    typed(method)
    return replace(found, method=method)
