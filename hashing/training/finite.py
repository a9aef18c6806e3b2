"""Numbers that are no longer finite stop a training before they reach what is learnt, or a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from hashpipe.common.errors import UserError

_ADVICE = "give a smaller --learning-rate. The last checkpoint before it is kept."


def check_loss(parts: Mapping[str, Tensor], where: str) -> None:
    """Raise UserError with the parts of the loss that are not finite; `where` names the step."""
    broken = [f"part {name} is {value.item()}" for name, value in parts.items() if not torch.isfinite(value)]
    if broken:
        raise UserError(f"The loss is not finite at {where} ({', '.join(broken)}); {_ADVICE}")


def check_gradients(
    parameters: Iterable[Tensor], u: Tensor, loss: Callable[[], Mapping[str, Tensor]], where: str
) -> None:
    """Raise UserError where a gradient is not finite, with the parts of the loss whose gradient by u is not.

    u (B,k), the batch's outputs; loss computes the parts once more.
    """
    listed = [one for one in parameters if one.grad is not None]
    if u.device.type == "cuda":  # one answer to wait for, not one for each tensor
        sums = [one.grad.sum().to(u.device, non_blocking=True) for one in listed if one.grad is not None]
        if bool(torch.isfinite(torch.stack(sums)).all()):
            return
    if all(torch.isfinite(one.grad).all() for one in listed if one.grad is not None):
        return
    broken = []
    for name, value in loss().items():
        found = torch.autograd.grad(value, u, retain_graph=True, allow_unused=True)[0] if value.requires_grad else None
        if found is not None and not torch.isfinite(found).all():
            broken.append(name)
    named = f"part {' and '.join(broken)}" if broken else "none by the outputs alone"
    raise UserError(f"The gradient is not finite at {where} ({named}); {_ADVICE}")
