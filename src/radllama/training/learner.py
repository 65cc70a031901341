"""One optimizer step, and one validation loss, of a network on examples: the inner loop."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from radllama.console import note
from radllama.errors import InputError
from radllama.heap import return_large_blocks
from radllama.prompt import Example
from radllama.recipe import Recipe
from radllama.training.averaging import WeightAverage
from radllama.training.lora import speed_up_adapters
from radllama.training.loss import block_loss, choose_packing
from radllama.training.optimizer import make_optimizer
from radllama.training.packing import Block, build_blocks
from radllama.training.processes import Processes
from radllama.training.sharding import is_sharded, shard

_FALLBACKS = {
    "packed": "this model's attention cannot share the instruction: every example computes it anew, which is slower",
    "alone": "this model lets neighbours in a row see each other: one example a row, which is slower",
}


class Learner:
    """A network that learns by a recipe, on the device and beside the processes it was given."""

    def __init__(
        self, recipe: Recipe, network: Any, precision: str, processes: Processes, sample: Sequence[Example]
    ) -> None:
        """`sample`: a few real examples, on which it is tried how this network can be packed."""
        self.recipe, self.precision, self._processes = recipe, precision, processes
        self.sharded = recipe.sharded and processes.count > 1
        if self.sharded:
            shard(network, processes.device, processes.count)
        self.network = network if self.sharded else network.to(processes.device)
        speed_up_adapters(self.network)
        self.packing = choose_packing(self.network, sample, processes.device, precision)
        if self.packing in _FALLBACKS and processes.first:
            note(_FALLBACKS[self.packing])
        if recipe.activation_checkpointing:
            self.network.activation_checkpointing_enable({"use_reentrant": False})
            return_large_blocks()
        self.optimizer = make_optimizer(
            self.network, recipe.optimizer, recipe.learning_rate, recipe.weight_decay, precision
        )
        self.average = WeightAverage(self.network, recipe.averaging) if recipe.averaging else None
        self._learned = [p for p in self.network.parameters() if p.requires_grad]
        # Of sharded weights' gradients torch takes the mean over all processes; the loss here is a part of a sum.
        self._mean_over = processes.count if is_sharded(self._learned[0]) else 1

    def step(self, examples: Sequence[Example], number: int, learning_rate: float) -> float:
        """One optimizer step on a whole batch, of which this process computes its share; returns the batch's loss.

        The loss is the mean over the batch's learned tokens. Everything random follows from the recipe's
        seed, the step's number (from 0) and the process's. Raises InputError for a loss that is no number.
        """
        import torch

        torch.manual_seed(self.recipe.seed * 1_000_003 + number + 7_368_787 * self._processes.rank)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.network.train()
        blocks = self._blocks(examples, self.recipe.findings_loss)
        [total] = self._processes.sum(sum(float(block.weight.sum()) for block in blocks))
        mine = 0.0
        for block in blocks:
            with block_loss(self.network, block, self.recipe.label_smoothing, self.precision) as loss:
                part = loss / total
                (part * self._mean_over).backward()  # type: ignore[no-untyped-call]
            mine += part.item()
        [loss_sum] = self._processes.sum(mine)
        if not math.isfinite(loss_sum):
            raise InputError(f"step {number + 1}: the loss is {loss_sum}; lower learning_rate or set precision: fp32")
        self._processes.sum_gradients(self._learned)
        torch.nn.utils.clip_grad_norm_(self._learned, self.recipe.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.network, number + 1)
        return loss_sum

    def loss(self, examples: Sequence[Example]) -> float:
        """The mean loss over the examples' completions, as the network computes in evaluation."""
        import torch

        self.network.eval()
        mine = weight = 0.0
        with torch.no_grad():
            for block in self._blocks(examples, 0.0):
                with block_loss(self.network, block, precision=self.precision) as loss:
                    mine += loss.item()
                weight += float(block.weight.sum())
        loss_sum, total = self._processes.sum(mine, weight)
        return loss_sum / total

    def averaged(self) -> AbstractContextManager[None]:
        """The network computes with its weights' average inside, where the recipe keeps one."""
        return self.average.applied(self.network) if self.average else nullcontext()

    def _blocks(self, examples: Sequence[Example], prompt_weight: float) -> list[Block]:
        import torch

        mine = self._processes.share(examples)
        blocks = build_blocks(mine, self.recipe.device_tokens, self.packing, prompt_weight) if mine else []
        if self.sharded:
            # No process can compute a layer while another does not: who has less to do computes for nothing.
            idle = build_blocks(examples[:1], self.recipe.device_tokens, self.packing)[0]
            idle = replace(idle, weight=torch.zeros_like(idle.weight))
            blocks += [idle] * (int(self._processes.greatest(len(blocks))) - len(blocks))
        return [block.to(self._processes.device) for block in blocks]
