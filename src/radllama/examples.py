"""Reports -> training examples, in the order in which a run meets them."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from radllama.prompt import Example, Prompt, encode_example
from radllama.report import Report


def encode_reports(
    reports: Sequence[Report], prompt: Prompt, tokenizer: Any, context_tokens: int
) -> tuple[list[Example], Counter[str]]:
    """The reports as examples, and why some were dropped: what does not fit is never cut."""
    examples = []
    dropped: Counter[str] = Counter()
    for report in reports:
        example = encode_example(prompt, tokenizer, report.findings, report.impression, report.indication)
        if len(example) > context_tokens:
            dropped["longer than context_tokens"] += 1
        else:
            examples.append(example)
    return examples, dropped


class Batches:
    """The examples of every optimizer step, each epoch in a new order that follows from the seed.

    Any step's batch can be asked for at once, so a resumed run needs no record of what it has seen.
    """

    def __init__(self, examples: Sequence[Example], batch_size: int, seed: int) -> None:
        self._examples = examples
        self._size = batch_size
        self._seed = seed
        self.epoch_steps = math.ceil(len(examples) / batch_size)

    def __getitem__(self, step: int) -> list[Example]:
        epoch, at = divmod(step, self.epoch_steps)
        order = list(range(len(self._examples)))
        random.Random(f"{self._seed}/{epoch}").shuffle(order)
        return [self._examples[i] for i in order[at * self._size : (at + 1) * self._size]]
