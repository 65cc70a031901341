import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from radllama.prompt import Example, make_prompt
from radllama.recipe import Augment
from radllama.report import Report
from radllama.selection import Selection
from radllama.training.examples import Batches, Encoder


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_base)


def make_batches(reports: list[Report], tokenizer: Any, augment: Augment, size: int = 8, seed: int = 0) -> Batches:
    encoder = Encoder(make_prompt("plain"), tokenizer, 200)
    kept, examples, _ = encoder.encode_all(reports)
    return Batches(kept, examples, encoder, augment, size, seed)


def epoch(batches: Batches, number: int = 0) -> list[Example]:
    first = number * batches.epoch_steps
    return [example for step in range(first, first + batches.epoch_steps) for example in batches[step]]


def test_what_does_not_fit_is_dropped_and_counted(reports: list[Report], tokenizer: Any) -> None:
    long = Report("long", None, "Clear lungs. " * 500, "Normal.")
    kept, examples, dropped = Encoder(make_prompt("plain"), tokenizer, 200).encode_all([*reports, long])
    assert kept == reports
    assert len(examples) == len(reports)
    assert dropped == {"longer than context_tokens": 1}


def test_an_epoch_holds_every_example_once(reports: list[Report], tokenizer: Any) -> None:
    batches = make_batches(reports, tokenizer, Augment())
    plain = Encoder(make_prompt("plain"), tokenizer, 200).encode_all(reports)[1]
    assert sorted(map(repr, epoch(batches))) == sorted(map(repr, plain))
    assert [len(batches[step]) for step in range(batches.epoch_steps)] == [8, 8, 8, 8, 8]


def test_the_last_batch_of_an_epoch_may_be_small(reports: list[Report], tokenizer: Any) -> None:
    batches = make_batches(reports, tokenizer, Augment(), size=32)
    assert [len(batches[step]) for step in range(batches.epoch_steps)] == [32, 8]


def test_every_epoch_has_an_order_of_its_own(reports: list[Report], tokenizer: Any) -> None:
    batches = make_batches(reports, tokenizer, Augment())
    assert epoch(batches, 0) != epoch(batches, 1)


def test_any_batch_can_be_asked_for_again(reports: list[Report], tokenizer: Any) -> None:
    augment = Augment(copies=1, swap_sides=0.5, shuffle=0.5, drop=0.5, insert=0.5)
    one, other = make_batches(reports, tokenizer, augment), make_batches(reports, tokenizer, augment)
    assert other[13] == one[13]
    assert one[2] == other[2]
    assert make_batches(reports, tokenizer, augment, seed=1)[2] != one[2]


def test_copy_tasks_come_on_top_of_the_reports(reports: list[Report], tokenizer: Any) -> None:
    batches = make_batches(reports, tokenizer, Augment(copies=0.5))
    texts = [tokenizer.decode(example.prompt_ids) for example in epoch(batches)]
    assert len(texts) == 60
    assert sum(text.endswith("\nabnormal:") for text in texts) == 20


def test_a_task_that_does_not_fit_gives_way_to_a_plain_report(reports: list[Report], tokenizer: Any) -> None:
    encoder = Encoder(make_prompt("plain"), tokenizer, 60)
    kept, examples, _ = encoder.encode_all(reports)
    batches = Batches(kept, examples, encoder, Augment(copies=5), 8, seed=0)
    lengths = [len(example) for example in epoch(batches)]
    assert kept
    assert max(lengths) <= 60
    assert len(lengths) == 6 * len(kept)


# Sentences told

NEVER = Selection({}, bias=-9.0, least=0.5)
EFFUSION = Report("1", None, "Small left effusion. Clear lungs.", "Small left effusion. No pneumothorax.")
TOLD = "findings: Clear lungs.\nimpression: Small left effusion.| No pneumothorax."
NOT_TOLD = "findings: Small left effusion. Clear lungs.\nimpression:| Small left effusion. No pneumothorax."


def encoded(tokenizer: Any, mistold: float, signed: bool, count: int = 1) -> list[str]:
    encoder = Encoder(make_prompt("plain", selection=NEVER), tokenizer, 200, mistold)
    found = [encoder.encode(EFFUSION, signed, random.Random(seed)) for seed in range(count)]
    decode = partial(tokenizer.decode, skip_special_tokens=True)
    return [f"{decode(one.prompt_ids)}|{decode(one.completion_ids)}" for one in found if one]


def test_of_a_signed_report_what_its_impression_takes_up_is_told_and_the_rest_is_learned(tokenizer: Any) -> None:
    assert encoded(tokenizer, 0.0, signed=True) == [TOLD]


def test_of_a_report_to_be_drafted_what_the_prompt_chooses_is_told(tokenizer: Any) -> None:
    assert encoded(tokenizer, 1.0, signed=False) == [NOT_TOLD]


def test_the_share_asked_for_is_mistold(tokenizer: Any) -> None:
    assert encoded(tokenizer, 1.0, signed=True) == [NOT_TOLD]
    assert 10 < encoded(tokenizer, 0.3, signed=True, count=100).count(NOT_TOLD) < 50
