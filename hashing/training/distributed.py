"""Several processes that learn one model: each computes the codes of its share of a batch, all see the whole batch.

Started by torchrun. Every process draws the same batch, as many times larger as there are processes; codes are
gathered, so that terms over the whole batch are exact; gradients are summed. One process with batch 2B equals two
with B.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor
from torch import distributed as dist

from hashpipe.common.errors import UserError


def rank() -> int:
    return dist.get_rank() if _joined() else 0


def count() -> int:
    """Number of processes, 1 where this one is alone."""
    return dist.get_world_size() if _joined() else 1


def barrier() -> None:
    if count() > 1:
        dist.barrier()


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Join the processes that torchrun started (gloo: codes and gradients of one step are small); else nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or _joined():
        yield
        return
    try:
        dist.init_process_group("gloo")
    except (RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise UserError(f"WORLD_SIZE is set and the processes cannot join ({reason}); start with torchrun.") from None
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    try:
        yield
    finally:
        dist.destroy_process_group()


def share(n: int, of: int | None = None) -> slice:
    """The part of n rows that process `of` (this one where not given) computes; parts differ by at most one row."""
    of, ranks = rank() if of is None else of, count()
    return slice(n * of // ranks, n * (of + 1) // ranks)


def gathered(compute: Callable[[slice], Tensor], n: int) -> Tensor:
    """compute(part) (rows of the part, k) of all processes as one (n,k) tensor, in order.

    Gradient flows into this process's rows alone: after backward of one and the same loss everywhere, the sum of all
    processes' gradients is the gradient of the whole batch (sum_gradients).
    """
    if count() == 1:
        return compute(slice(0, n))
    own = compute(share(n))
    longest = -(-n // count())
    padded = torch.zeros(longest, own.shape[1], dtype=own.dtype)
    padded[: len(own)] = own.detach().cpu()
    parts = [torch.empty_like(padded) for _ in range(count())]
    dist.all_gather(parts, padded)
    sizes = [share(n, other).stop - share(n, other).start for other in range(count())]
    rows = [part[:size].to(own.device) for part, size in zip(parts, sizes, strict=True)]
    rows[rank()] = own
    return torch.cat(rows)


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each parameter's gradient by its sum over all processes, in one message."""
    listed = list(parameters)
    if count() == 1 or not listed:  # each process has all of every gradient
        return
    grads = [torch.zeros_like(one) if one.grad is None else one.grad for one in listed]
    flat = torch.cat([grad.detach().float().cpu().flatten() for grad in grads])
    dist.all_reduce(flat)
    for one, grad, part in zip(listed, grads, flat.split([grad.numel() for grad in grads]), strict=True):
        one.grad = part.view_as(grad).to(grad)


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()
