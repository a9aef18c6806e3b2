"""Options in config.json: written and read again; those of models of hashpipe 0.1; those of a later one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hashpipe.common.errors import UserError
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.training.objectives import OBJECTIVES, objective_class
from hashpipe.hashing.training.objectives.dsah import DsahOptions
from hashpipe.hashing.training.objectives.joint import JointOptions
from hashpipe.hashing.training.options import FinetuneOptions, TrainOptions
from hashpipe.hashing.training.recipes import method_of, recipe_of
from hashpipe.hashing.training.stored_options import options_as_json, stored_options

# config.json of a model that hashpipe 0.1 wrote: `train --photos photos --bits 8,12 --steps 12 --batch-pairs 4 ...`
FIRST_VERSION = json.loads("""
{"bits": [8, 12], "objective": "joint", "describe": {"backbone": "vlad", "weights": null, "pooling": "gem",
 "image_size": 96, "scales": [1.0], "words": 4, "device": "auto"}, "photos": "photos", "benchmark": null, "root": null,
 "seed": 0, "steps": 12, "learning_rate": 0.005, "batch_pairs": 4, "batch_others": 8, "pca": 256, "hidden": 3,
 "noise": 0.3, "pairs": true, "pairwise": true, "neighbours": true, "information": true, "binary_step": true,
 "balance": true, "preserve": true, "recentre": true, "margin": 0.25, "temperature": 0.3, "neighbourhood": 6,
 "joint": {"pairwise": 1.0, "neighbours": 0.3, "constraint": 0.3, "preserve": 2.0, "quantise": 0.1, "balance": 0.5,
 "back": 0.3, "unlabelled_start": true, "unit_margin": 0.15, "units_alone": 0.4}, "faithful": false, "nested": false,
 "patience": 0, "tune": {"finetune": "none", "finetune_steps": 400, "finetune_rate": 1e-05, "finetune_size": 224,
 "schedule": "cosine", "warm_up": 20, "precision": "float32", "accumulate": 1, "augment": true}, "tensorboard": false}
""")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_options_come_back(objective):
    options = TrainOptions(
        (8, 32),
        objective,
        describe=BackboneOptions("resnet18", scales=(0.7, 1.0)),
        benchmark="cifar10",
        root=Path("files"),
        steps=0,
        noise=0.25,
        matryoshka=True,
        tune=FinetuneOptions("last", accumulate=3),
    )
    stored = json.loads(json.dumps({"options": options_as_json(options)}))
    found = stored_options(stored)
    assert found.method == method_of(options) == objective_class(objective).Options()
    assert found == stored_options({"options": options_as_json(found)})
    assert (found.bits, found.root, found.steps, found.noise) == ((8, 32), Path("files"), 0, 0.25)
    assert (found.describe, found.tune) == (options.describe, options.tune)


def test_options_of_an_objective_come_back_as_given():
    options = TrainOptions(method=JointOptions(margin=0.125, information=False), photos=Path("photos"))
    assert stored_options({"options": options_as_json(options)}) == replace(options, head="linear")
    official = TrainOptions(objective="dsah", method=DsahOptions(official=True))
    assert stored_options({"options": options_as_json(official)}) == replace(official, head="linear")


def test_a_model_of_0_1_is_read():
    found = stored_options({"options": FIRST_VERSION})
    assert (found.bits, found.objective, found.photos) == ((8, 12), "joint", Path("photos"))
    assert (found.steps, found.batch_pairs, found.batch_others) == (12, 4, 8)
    assert found.describe == BackboneOptions("vlad", pooling="gem", words=4, image_size=96)
    assert (found.learning_rate, found.noise) == (None, None)  # its defaults are left to the recipe
    assert found.method == JointOptions()
    assert recipe_of(found, False, 100).steps == 12
    given = stored_options({"options": {**FIRST_VERSION, "learning_rate": 0.5, "noise": 0.0, "nested": True}})
    assert (given.learning_rate, given.noise, given.matryoshka) == (0.5, 0.0, True)


@pytest.mark.parametrize("faithful", [True, False])
def test_dsah_of_0_1_stays_what_it_was(faithful):
    old = {**FIRST_VERSION, "objective": "dsah", "faithful": faithful, "information": False}
    found = stored_options({"options": old})
    assert found.method == DsahOptions(official=faithful, information=False)


def test_older_models_of_0_1_have_fewer_options():
    found = stored_options(
        {"options": {name: FIRST_VERSION[name] for name in ("bits", "objective", "joint", "describe")}}
    )
    assert found.tune == FinetuneOptions()
    assert not found.matryoshka


@pytest.mark.parametrize(
    "changes",
    [{"later": 1}, {"objective": "later"}, {"describe": {"later": 1}}, {"method": {"later": 1}}, {"bits": []}],
)
def test_options_of_a_later_version_are_refused(changes):
    stored = {"options": {**options_as_json(TrainOptions()), **changes}}
    with pytest.raises(UserError, match="options that this hashpipe does not know; train it again"):
        stored_options(stored)
    with pytest.raises(UserError, match="does not know"):
        stored_options({})
