"""A loss or a gradient that is not finite stops the training at once; the checkpoint before it stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import toys

from hashpipe.common.errors import UserError
from hashpipe.hashing.training import checkpoint as checkpoints
from hashpipe.hashing.training.checkpoint import Checkpoint
from hashpipe.hashing.training.loop import fit_heads
from hashpipe.hashing.training.objectives.dtsh import Dtsh
from hashpipe.hashing.training.options import TrainOptions

BREAKS_AT = 7  # between two lines of metrics


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda u: u.sum() * torch.nan, rf"^The loss is not finite at step {BREAKS_AT} of 8 bits \(part odd is nan\);"),
        (lambda u: (0 * u.sum()).sqrt(), rf"^The gradient is not finite at step {BREAKS_AT} of 8 bits \(part odd\);"),
    ],
)
@pytest.mark.parametrize("matryoshka", [False, True])
def test_training_stops_with_the_step_and_the_part(broken, said, matryoshka, tmp_path, monkeypatch):
    real, calls = Dtsh.loss, []

    def loss(self, batch):
        calls.append(1)
        late = len(calls) > BREAKS_AT * (2 if matryoshka else 1)
        return real(self, batch) | ({"odd": broken(batch.u)} if late else {})

    monkeypatch.setattr(Dtsh, "loss", loss)
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 0.0)
    x, targets = toys.places(apart=True)
    options = TrainOptions((4, 8) if matryoshka else (8,), "dtsh", batch_pairs=8, matryoshka=matryoshka)
    path = tmp_path / "state.safetensors"
    with pytest.raises(UserError, match=said) as caught:
        fit_heads(x, targets, options, checkpoint=Checkpoint(path, "one"))
    assert "The last checkpoint before it is kept" in str(caught.value)
    kept = Checkpoint(path, "one")
    assert kept.resume()
    assert kept._now is not None
    assert kept._now[1] == BREAKS_AT
    assert all(np.isfinite(value.numpy()).all() for value in kept._now[2].values())
