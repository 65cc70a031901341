"""Reports -> training examples, in the order in which a run meets them."""

import math
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tqdm import tqdm

from radllama.clinical.read import Span
from radllama.library import Library
from radllama.library.asking import Asking
from radllama.prompt import Example, Prompt, encode_example, encode_text
from radllama.recipe import Augment
from radllama.report import Report
from radllama.selection import asserting_sentences, find_taken_up
from radllama.training.augment import COPY_PROMPT, build_pool, make_copy_task, vary


class Encoder:
    """Reports -> examples of one prompt and tokenizer; what does not fit the context is dropped, never cut."""

    def __init__(
        self,
        prompt: Prompt,
        tokenizer: Any,
        context_tokens: int,
        mistold: float = 0.0,
        library: Library | None = None,
    ) -> None:
        """`library`: the prior reports for a prompt that shows some; what is encoded is never its own neighbour."""
        self.prompt = prompt
        self._tokenizer = tokenizer
        self._context_tokens = context_tokens
        self._mistold = mistold
        self._asking = Asking(prompt, library, lambda text: len(encode_text(tokenizer, text)))
        self.neighbours: Counter[str] = Counter()  # "shown" and "left_out", of all that was encoded

    def encode(
        self, report: Report, signed: bool = False, rng: random.Random | None = None, bare: bool = False
    ) -> Example | None:
        """The report as an example, or None when it is too long.

        The sentences that a prompt tells by itself are those that it would choose, or, of a `signed` report, those
        that its impression takes up; with an `rng`, for a share of them the contrary. `bare`: without prior reports.
        """
        chosen = self._find_signed(report, rng) if signed and self.prompt.selection else None
        sections = report.findings, report.impression, report.indication
        example = encode_example(self.prompt, self._tokenizer, *sections, chosen)
        if self.prompt.shelf and not bare:
            room = self._context_tokens - len(example.completion_ids)
            asked = self._asking.ask(report.findings, report.indication, room, leave_out=report, chosen=chosen)
            self.neighbours.update(shown=len(asked.shown), left_out=asked.left_out)
            example = replace(example, prompt_ids=encode_text(self._tokenizer, asked.text))
        return self._fit(example)

    def encode_copy_task(self, findings: str, abnormal: str) -> Example | None:
        """A copy task as an example, or None when it is too long."""
        return self._fit(encode_example(COPY_PROMPT, self._tokenizer, findings, abnormal))

    def encode_all(
        self, reports: Sequence[Report], signed: bool = False
    ) -> tuple[list[Report], list[Example], Counter[str]]:
        """The reports that fit, their examples, and how many were dropped by reason."""
        # Among many prior reports a look-up takes a while.
        told = tqdm(reports, "looking up prior reports", unit="report", file=sys.stderr, disable=not self.prompt.shelf)
        pairs = [(report, self.encode(report, signed)) for report in told]
        fitting = [(report, example) for report, example in pairs if example]
        dropped = Counter({"longer than context_tokens": len(pairs) - len(fitting)})
        return [report for report, _ in fitting], [example for _, example in fitting], +dropped

    def _find_signed(self, report: Report, rng: random.Random | None) -> list[Span]:
        taken_up = find_taken_up(report.findings, report.impression)
        if not rng:
            return taken_up
        # Drafting chooses wrongly now and then, and the model must bear it.
        possible = asserting_sentences(report.findings)
        return [span for span in possible if (span in taken_up) != (rng.random() < self._mistold)]

    def _fit(self, example: Example) -> Example | None:
        return example if len(example) <= self._context_tokens else None


class Batches:
    """The examples of every optimizer step: each epoch in a new order, augmented anew.

    All of it follows from the seed, and any step's batch can be asked for at once, so a resumed run
    needs no record of what it has seen.
    """

    def __init__(
        self,
        reports: Sequence[Report],
        examples: Sequence[Example],
        encoder: Encoder,
        augment: Augment,
        batch_size: int,
        seed: int,
        bare: float = 0.0,
    ) -> None:
        """`bare`: the share of examples that show no prior reports, other ones each epoch."""
        self._reports, self._examples, self._encoder = reports, examples, encoder
        self._augment = augment
        self._varies = any((augment.swap_sides, augment.shuffle, augment.drop, augment.insert, augment.mistell))
        self._pool = build_pool(reports) if self._varies or augment.copies else None
        self._batch_size, self._seed, self._bare = batch_size, seed, bare
        self._epoch_examples = len(reports) + round(augment.copies * len(reports))
        self.epoch_steps = math.ceil(self._epoch_examples / batch_size)
        self._order: tuple[int, list[int]] = (-1, [])  # the last epoch asked for

    def __getitem__(self, step: int) -> list[Example]:
        epoch, at = divmod(step, self.epoch_steps)
        order = self._order_of(epoch)
        return [self._example(epoch, i) for i in order[at * self._batch_size : (at + 1) * self._batch_size]]

    def _order_of(self, epoch: int) -> list[int]:
        if self._order[0] != epoch:  # shuffled once an epoch: a large dataset's order takes longer than a small step
            order = list(range(self._epoch_examples))
            random.Random(f"{self._seed}/{epoch}").shuffle(order)
            self._order = (epoch, order)
        return self._order[1]

    def _example(self, epoch: int, index: int) -> Example:
        """Report number `index`, or a copy task past the last one; the plain report where that is too long."""
        plain = index % len(self._reports)
        if not self._pool and not self._bare:
            return self._examples[plain]
        rng = random.Random(f"{self._seed}/{epoch}/{index}")
        example = None
        if self._pool and index >= len(self._reports):
            example = self._encoder.encode_copy_task(*make_copy_task(self._pool, rng))
        else:
            report = self._reports[index]
            varied = vary(report, self._augment, self._pool, rng) if self._pool and self._varies else report
            bare = self._bare > 0 and rng.random() < self._bare
            if self._varies or bare:
                example = self._encoder.encode(varied, True, rng if self._varies else None, bare)
        return example or self._examples[plain]
