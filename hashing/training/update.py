"""One step of the optimiser on the loss of one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hashpipe.hashing.training import distributed, finite, matryoshka
from hashpipe.hashing.training.batch import Batch
from hashpipe.hashing.training.train_state import TrainState

Loss = Callable[[Batch], dict[str, Tensor]]


def update(state: TrainState, loss: Loss, batch: Batch, lengths: Sequence[int], where: str) -> dict[str, Tensor]:
    """Take a step on the sum of the parts of the loss, which are returned, averaged over code lengths.

    Raises UserError, `where` being the step, for a part or a gradient that is not finite; nothing has changed then.
    """

    def compute() -> dict[str, Tensor]:
        return matryoshka.parts(lambda bits: loss(batch.first(bits)), lengths)

    parts = compute()
    finite.check_loss(parts, where)
    state.optimiser.zero_grad()
    torch.stack(list(parts.values())).sum().backward()
    if state.network is not None:
        state.network.finish_backward()
    distributed.sum_gradients(state.shared)
    finite.check_gradients(state.parameters, batch.u, compute, where)
    state.optimiser.step()
    state.schedule.step()
    return parts
