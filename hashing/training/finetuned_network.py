"""What the training loop asks of a network that learns together with a head."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Network(Protocol):
    """A network that gives the head's input anew at each step (finetune.py)."""

    parameters: list[Tensor]
    step: int
    device: torch.device

    def answer_on(self, device: torch.device) -> None:
        """From now on x lies on `device`, where the head is."""

    def ahead(self, rows: np.ndarray) -> None:
        """Told the photos int64 (B,) of the next step, most likely."""

    def features(self, rows: Tensor, part: slice) -> Tensor:
        """x float32 (P,d) of the photos rows[part] of a batch, with gradient."""

    def finish_backward(self) -> None:
        """Bring the gradient of what `features` gave to the parameters."""

    def describe_all(self) -> Tensor:
        """x float32 (N,d) of all photos, without gradient."""

    def rate(self, step: int) -> float:
        """Factor of the step size."""
