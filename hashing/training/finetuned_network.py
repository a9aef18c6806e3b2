"""What the training loop asks of a network that learns together with a head."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Network(Protocol):
    """A network that gives the head's input anew at each step (finetune.py)."""

    parameters: list[Tensor]
    step: int

    def features(self, rows: Tensor, part: slice) -> Tensor:
        """x float32 (P,d) of the photos rows[part] of a batch, with gradient."""

    def finish_backward(self) -> None:
        """Bring the gradient of what `features` gave to the parameters."""

    def describe_all(self) -> Tensor:
        """x float32 (N,d) of all photos, without gradient."""

    def rate(self, step: int) -> float:
        """Factor of the step size."""
