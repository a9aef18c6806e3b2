"""Options of a training as JSON in config.json, and back; options of models of hashpipe 0.1 are read too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from hashpipe.common.errors import UserError
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.training.objectives import objective_class
from hashpipe.hashing.training.options import FinetuneOptions, TrainOptions
from hashpipe.hashing.training.recipes import head_of, method_of


def options_as_json(options: TrainOptions) -> dict[str, Any]:
    """All options with those of the objective, paths as text."""
    found: dict[str, Any] = plain(asdict(replace(options, method=method_of(options), head=head_of(options))))
    return found


def stored_options(config: Mapping[str, Any]) -> TrainOptions:
    """The options that a config.json holds, to fit another model in the same way.

    Of a model of 0.1 those are kept that still mean the same. Raises UserError for options of a later hashpipe.
    """
    try:
        kept = dict(config["options"])
        if "joint" in kept:
            kept = _of_first_version(kept)
        method = objective_class(kept["objective"]).Options
        describe = dict(kept["describe"])
        if "scales" in describe:
            describe["scales"] = tuple(describe["scales"])
        kept |= {
            "bits": tuple(kept["bits"]),
            "method": method(**(kept.get("method") or {})),
            "describe": BackboneOptions(**describe),
            "tune": FinetuneOptions(**kept.get("tune", {})),
        }
        kept |= {name: Path(kept[name]) for name in ("photos", "root") if kept.get(name) is not None}
        return TrainOptions(**kept)
    except (KeyError, TypeError, UserError):
        raise UserError(
            "The model was trained with options that this hashpipe does not know; train it again."
        ) from None


def plain(value: Any) -> Any:
    """Options as JSON: paths become text, tuples lists."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _of_first_version(old: Mapping[str, Any]) -> dict[str, Any]:
    """Options of 0.1 by their names of today; numbers that were its defaults are left to the recipe."""
    defaults = {"steps": 500, "learning_rate": 5e-3, "batch_pairs": 96, "batch_others": 128, "noise": 0.3}
    names = {one.name for one in fields(TrainOptions)} - {"method"}
    kept = {name: value for name, value in old.items() if name in names and value != defaults.get(name)}
    kept["matryoshka"] = bool(old.get("nested", False))
    if old["objective"] == "dsah":
        kept["method"] = {
            "official": bool(old.get("faithful", False)),
            "information": bool(old.get("information", True)),
        }
    return kept
