"""Around the steps of training: lines of metrics, checkpoints, validation and early stopping."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hashpipe.common.errors import UserError
from hashpipe.common.files import atomic_path
from hashpipe.hashing.training.deferred_signals import DeferredSignals
from hashpipe.hashing.training.train_state import TrainState

STATE_VERSION = 2
STATE = "state.safetensors"
SAVE_EVERY = 20.0  # seconds between two checkpoints; a run that is killed loses no more than these
CHECKS = 16  # validations of one fit, evenly over its steps
_REPORT = 20  # steps between two lines of metrics
_KINDS = ("similar", "dissimilar")


@dataclass
class Checkpoint:
    """A training run over all its code lengths: what is finished, what is under way, what was measured.

    path: where checkpoints go, None for none; identity: of options and data, a checkpoint of another is refused;
    writes: False where another process writes them; record: receives each line of metrics at once; validate: outputs
    u float32 (N,k) -> validation score, larger is better; patience: stop after so many validations without a better one
    and keep the best, 0 never; tracked_pairs: (P,2) pairs of photos by kind whose distances are counted.
    """

    path: Path | None = None
    identity: str = ""
    record: Callable[[dict[str, Any]], None] = lambda line: None
    writes: bool = True
    signals: DeferredSignals | None = None
    validate: Callable[[np.ndarray], float] | None = None
    patience: int = 0
    tracked_pairs: dict[str, np.ndarray] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    _done: dict[str, Tensor] = field(default_factory=dict)
    _now: tuple[str, int, dict[str, Tensor], dict[str, Any]] | None = None
    _best: tuple[float, int, list[Tensor]] | None = None
    _key: str = ""
    _saved: float = field(default_factory=time.monotonic)

    def resume(self) -> bool:
        """Take up the checkpoint at `path` where there is one. Raises UserError for a damaged or another run's one."""
        if self.path is None or not self.path.exists():
            return False
        try:
            with safe_open(self.path, "pt") as file:
                facts = json.loads(file.metadata()["run"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{self.path} cannot be read ({error}); delete it and train again.") from None
        if facts.get("version") != STATE_VERSION or facts.get("identity") != self.identity:
            raise UserError(
                f"{self.path} belongs to a run with other options or other photos; "
                "delete it to start anew, or bring those options and photos back."
            )
        parts: dict[str, dict[str, Tensor]] = {"done": {}, "now": {}, "best": {}}
        for key, value in tensors.items():
            part, name = key.split("/", 1)
            parts[part][name] = value
        self._done, self.lines = parts["done"], facts["lines"]
        if facts["key"]:
            self._now = (facts["key"], facts["step"], parts["now"], facts["now"])
            if parts["best"]:
                best = [parts["best"][str(n)] for n in range(len(parts["best"]))]
                self._best = (facts["best"][0], facts["best"][1], best)
        return True

    def finished(self, key: str) -> dict[str, np.ndarray] | None:
        """The arrays that `finish` was given under this key before the run was stopped, else None."""
        start = f"{key}/"
        return {name[len(start) :]: one.numpy() for name, one in self._done.items() if name.startswith(start)} or None

    def begin(self, key: str, state: TrainState) -> int:
        """The step to continue with: 0, or what the checkpoint says, with everything put back as it was then."""
        if self._now is not None and self._now[0] == key:
            _, step, tensors, facts = self._now
            self._now, self._key = None, key
            state.restore(tensors, facts, step)
            return step
        self._now, self._best, self._key = None, None, key
        return 0

    def after(self, step: int, steps: int, bits: int, parts: dict[str, Tensor], state: TrainState) -> bool:
        """Look after one finished step (counted from 0) of `steps`; True where learning should stop early."""
        last = step == steps - 1
        mark = {"bits": bits, "step": step} | ({} if state.network is None else {"of": "network"})
        if step % _REPORT == 0 or last:
            values = {name: float(value.detach()) for name, value in parts.items()}
            edges = len(state.sampler.edges)
            self._tell({**mark, "loss": sum(values.values()), **values, "edges": edges})
        if self.tracked_pairs and (step == 0 or last or (step + 1) % max(1, steps // 4) == 0):
            self._tell({**mark, "distances": self._distances(state, bits)})
        stop = self._validate(step, steps, mark, state)
        asked = self.signals is not None and self.signals.asked
        if self.path is not None and self.writes and (asked or time.monotonic() - self._saved >= SAVE_EVERY):
            self._save(steps if stop else step + 1, state)
        if asked and self.signals is not None:
            self.signals.deliver()
        return stop

    @contextlib.contextmanager
    def interruptible(self, state: TrainState | None = None, step: int = 0) -> Iterator[None]:
        """Let a stop act inside the block, which changes nothing; then `state` is saved, after `step` steps."""
        try:
            with self.signals.let_through() if self.signals is not None else contextlib.nullcontext():
                yield
        except KeyboardInterrupt:
            if state is not None and self.path is not None and self.writes:
                self._save(step, state)
            raise

    def end(self, state: TrainState) -> None:
        """Put the best parameters back where validation chose among them."""
        if self._best is not None and self.patience:
            with torch.no_grad():
                for one, kept in zip(state.kept, self._best[2], strict=True):
                    one.copy_(kept)
        self._best = None

    def finish(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep what was learnt under this key, so that a stopped run does not learn it again."""
        self._done |= {f"{key}/{name}": torch.from_numpy(np.array(one)) for name, one in arrays.items()}
        self._key = ""
        if self.path is not None and self.writes:
            self._save(0, None)

    def _tell(self, line: dict[str, Any]) -> None:
        self.lines.append(line)
        self.record(line)

    def _validate(self, step: int, steps: int, mark: dict[str, Any], state: TrainState) -> bool:
        every = max(1, steps // CHECKS)
        if self.validate is None or not ((step + 1) % every == 0 or step == steps - 1):
            return False
        if state.network is not None:
            with self.interruptible():
                x = state.network.describe_all()
            state.x = x.to(state.device)
        score = self.validate(state.outputs().cpu().numpy())
        self._tell({**mark, "validation": score})
        if not self.patience:
            return False
        if self._best is None or score > self._best[0]:
            self._best = (score, step, [one.detach().clone() for one in state.kept])
        return step - self._best[1] >= self.patience * every

    def _distances(self, state: TrainState, bits: int) -> dict[str, list[int]]:
        """Pairs by Hamming distance 0..bits, for each kind."""
        found = {}
        for kind, pairs in self.tracked_pairs.items():
            left, right = (state.outputs(torch.from_numpy(pairs[:, side])) >= 0 for side in (0, 1))
            found[kind] = torch.bincount((left != right).sum(1), minlength=bits + 1).tolist()
        return found

    def _save(self, step: int, state: TrainState | None) -> None:
        tensors = {f"done/{key}": value for key, value in self._done.items()}
        facts: dict[str, Any] = {"version": STATE_VERSION, "identity": self.identity, "lines": self.lines}
        facts |= {"key": self._key, "step": step, "now": {}, "best": None}
        if state is not None:
            now, facts["now"] = state.save()
            tensors |= {f"now/{key}": value for key, value in now.items()}
            if self._best is not None:
                facts["best"] = self._best[:2]
                tensors |= {f"best/{n}": value for n, value in enumerate(self._best[2])}
        assert self.path is not None
        with atomic_path(self.path) as temporary:
            kept = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
            save_file(kept, temporary, {"run": json.dumps(facts)})
        self._saved = time.monotonic()
