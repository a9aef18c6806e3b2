"""A model taken to another collection: a model of its own, from photos alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys

from hashpipe.common.errors import UserError
from hashpipe.hashing.features.options import BackboneOptions
from hashpipe.hashing.models.network import load_model
from hashpipe.hashing.training.adapt import adapt
from hashpipe.hashing.training.options import AdaptOptions, TrainOptions
from hashpipe.hashing.training.stored_options import stored_options
from hashpipe.hashing.training.train import train


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return toys.pictures(tmp_path_factory.mktemp("new") / "photos", 9, 1)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    describe = BackboneOptions("vlad", words=4, image_size=96)
    options = TrainOptions((8, 12), describe=describe, photos=toys.pictures(folder / "photos", 10))
    train(replace(options, steps=12, batch_pairs=4, batch_others=8), folder / "ws")
    return folder / "ws"


def test_a_model_of_its_own(workspace, photos):
    (photos / "broken.png").write_bytes(b"no photo")
    origin = load_model(workspace / "model")
    result = adapt(photos, workspace)
    (photos / "broken.png").unlink()
    adapted = load_model(result.folder)
    assert result.folder == workspace / "adapted"
    assert (result.photos, result.unreadable, result.bits) == (9, 1, (8, 12))
    assert result.adapted_from == origin.fingerprint == adapted.config["adapted_from"]
    assert adapted.fingerprint == result.fingerprint != origin.fingerprint
    assert adapted.describer.fingerprint == origin.describer.fingerprint
    assert not np.array_equal(adapted.heads[8].arrays["weight"], origin.heads[8].arrays["weight"])
    assert load_model(workspace / "model").fingerprint == origin.fingerprint
    assert origin.fingerprint in (result.folder / "README.md").read_text()
    assert json.loads(json.dumps(result.as_json()))["model"] == str(result.folder)
    assert result.fingerprint in result.as_text()
    assert stored_options(adapted.config).pairs is False
    assert adapt(photos, workspace).fingerprint == result.fingerprint


def test_without_steps_the_codes_are_the_models_up_to_their_centres(workspace, photos, tmp_path):
    """Projected into the space of the new photos and back, a head says the same of these photos."""
    result = adapt(photos, workspace, AdaptOptions(output=tmp_path / "out", steps=0, start="model"))
    origin, adapted = load_model(workspace / "model"), load_model(result.folder)
    from hashpipe.hashing.data.images import from_folder_or_list

    x = origin.describer.describe(from_folder_or_list(photos)).values
    before, after = (model.codes_input(x, 12) for model in (origin, adapted))
    np.testing.assert_allclose(after - np.median(after, axis=0), before - np.median(before, axis=0), atol=1e-4)
    itq = adapt(photos, workspace, AdaptOptions(output=tmp_path / "itq", steps=0))
    assert itq.fingerprint != result.fingerprint


def test_another_model_and_a_new_workspace(workspace, photos, tmp_path):
    result = adapt(photos, tmp_path / "ws", AdaptOptions(model=workspace / "model", steps=3))
    assert result.folder == tmp_path / "ws/adapted"
    assert list((tmp_path / "ws/descriptors").iterdir())


def test_what_cannot_be(workspace, photos, tmp_path):
    listed = workspace / "adapted" / "list.txt"
    listed.parent.mkdir(exist_ok=True)
    listed.write_text("a.png")
    with pytest.raises(UserError, match=r"PHOTOS .*list.txt lies in .*adapted, which is replaced"):
        adapt(listed, workspace)
    listed.unlink()
    with pytest.raises(UserError, match="it would be lost"):
        adapt(photos, workspace, AdaptOptions(output=workspace / "model"))
    with pytest.raises(UserError, match=r"PHOTOS .* which is replaced"):
        adapt(photos, workspace, AdaptOptions(output=photos))
    with pytest.raises(UserError, match="holds other files"):
        adapt(photos, workspace, AdaptOptions(output=workspace / "descriptors"))
    with pytest.raises(UserError, match="not a hashpipe workspace"):
        adapt(photos, tmp_path / "none")
    with pytest.raises(UserError, match="holds no model"):
        adapt(photos, tmp_path / "none", AdaptOptions(model=tmp_path))
    lost = tmp_path / "lost"
    lost.mkdir()
    (lost / "a.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="can be read"):
        adapt(lost, workspace, AdaptOptions(output=tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()
