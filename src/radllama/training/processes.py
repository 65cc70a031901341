"""Many devices: each process computes its share of every batch, and all of them hold the same weights.

Started by `torchrun` or `accelerate launch`; alone, every function here does nothing. Gradients are summed
once a step, whatever number of passes each process needed, so that the sum is that of a single process.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from radllama.errors import InputError
from radllama.prompt import Example
from radllama.training.sharding import is_sharded

_Value = TypeVar("_Value")
_BUCKET_BYTES = 64 << 20


class Processes:
    """One process among those of the run: its device, its share, and what they tell each other."""

    def __init__(self, tracker: str, out: Path) -> None:
        from accelerate import Accelerator
        from accelerate.tracking import get_available_trackers

        installed = [kind.value for kind in get_available_trackers()]
        if tracker not in (*installed, "none"):  # accelerate would warn and track nothing
            raise InputError(f"tracker: {tracker} is not installed here; choose {', '.join(installed)} or none")
        self.accelerator = Accelerator(log_with=None if tracker == "none" else tracker, project_dir=out)
        self.count: int = self.accelerator.num_processes
        self.rank: int = self.accelerator.process_index
        self.device = self.accelerator.device

    @property
    def first(self) -> bool:
        """Whether this process writes what the run leaves behind."""
        return self.rank == 0

    def share(self, examples: Sequence[Example]) -> list[Example]:
        """The part of a batch that is this process's: dealt out by length, so that all have about as much to do."""
        return sorted(examples, key=len, reverse=True)[self.rank :: self.count]

    def sum(self, *values: float) -> list[float]:
        """The values' sums over all processes, exact for counts below 2^53."""
        return self._reduce("SUM", values)

    def greatest(self, value: float) -> float:
        """The greatest of all processes' values."""
        return self._reduce("MAX", [value])[0]

    def _reduce(self, how: str, values: Sequence[float]) -> list[float]:
        if self.count == 1:
            return list(values)
        import torch
        import torch.distributed as dist

        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor, getattr(dist.ReduceOp, how))
        return [float(value) for value in tensor]

    def sum_gradients(self, parameters: Iterable[Any]) -> None:
        """Make every process's gradients the sum over all; none counts as zero where a process had no part in it.

        Those of sharded weights are sums already.
        """
        if self.count == 1:
            return
        import torch
        import torch.distributed as dist

        for bucket in _buckets([p for p in parameters if p.requires_grad and not is_sharded(p)]):
            flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in bucket])
            dist.all_reduce(flat)
            for parameter, gradient in zip(bucket, torch.split(flat, [p.numel() for p in bucket]), strict=True):
                parameter.grad = gradient.view_as(parameter)

    def from_first(self, make: Callable[[], _Value]) -> _Value:
        """What `make` returns in the first process, in all of them; its InputError as well."""
        if self.count == 1:
            return make()
        from accelerate.utils import broadcast_object_list

        told: list[Any] = [None, None]
        if self.first:
            try:
                told[0] = make()
            except InputError as error:
                told[1] = str(error)
        broadcast_object_list(told)
        if told[1] is not None:
            raise InputError(told[1])
        value: _Value = told[0]
        return value


def _buckets(parameters: Sequence[Any]) -> list[list[Any]]:
    """Parameters of one dtype in buckets: one message for many small tensors, and no copy of all large ones."""
    buckets: list[list[Any]] = []
    room = 0
    for parameter in parameters:
        size = parameter.numel() * parameter.element_size()
        if not buckets or size > room or buckets[-1][0].dtype != parameter.dtype:
            buckets.append([])
            room = _BUCKET_BYTES
        buckets[-1].append(parameter)
        room -= size
    return buckets
