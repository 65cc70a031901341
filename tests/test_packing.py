"""Packing: what becomes one forward pass, and that nothing is lost, doubled or cut."""

import random
from collections.abc import Sequence

import pytest
import torch

from radllama.prompt import Example
from radllama.training.packing import PACKINGS, Layout, Packing, build_blocks, shared_beginning

VOCABULARY = 60


def make_examples(
    rng: random.Random, count: int, shared: int = 5, longest: int = 20, vocabulary: int = VOCABULARY
) -> list[Example]:
    """Examples whose prompts begin with the same `shared` random tokens."""
    beginning = [rng.randrange(vocabulary) for _ in range(shared)]

    def tokens(least: int) -> list[int]:
        return [rng.randrange(vocabulary) for _ in range(rng.randint(least, longest))]

    return [Example(beginning + tokens(1), tokens(1)) for _ in range(count)]


def learned(examples: Sequence[Example]) -> list[int]:
    return sorted(token for example in examples for token in example.completion_ids)


def test_the_shared_beginning_stops_short_of_the_shortest_prompt() -> None:
    assert shared_beginning([Example([1, 2, 3], [4]), Example([1, 2, 3, 9], [4])]) == [1, 2]
    assert shared_beginning([Example([1, 2], [4]), Example([5, 2], [4])]) == []
    assert shared_beginning([Example([7], [4])]) == []


def test_the_beginning_stands_once_and_like_lengths_stand_together() -> None:
    a, b, c = Example([1, 2, 3, 4], [5, 6]), Example([1, 2, 7], [8, 9]), Example([1, 2, 10], [11] * 100)
    [block] = build_blocks([a, b, c], 1000)
    assert block.layout == Layout(2, ((1, 101), (2, 4)))
    assert block.input_ids[0, :2].tolist() == [1, 2]
    assert block.input_ids[0, 103:].tolist() == [3, 4, 5, 6, 7, 8, 9, 0]
    assert block.position_ids is not None
    assert block.position_ids[0, 103:].tolist() == [2, 3, 4, 5, 2, 3, 4, 5]
    assert block.source[-4:].tolist() == [104, 105, 107, 108]
    assert block.target[-4:].tolist() == [5, 6, 8, 9]


def test_packed_alone_there_is_no_padding_and_positions_restart() -> None:
    [block] = build_blocks([Example([1, 2], [3]), Example([1, 4], [5, 6])], 1000, "packed")
    assert block.input_ids.tolist() == [[1, 4, 5, 6, 1, 2, 3]]
    assert block.position_ids is not None
    assert block.position_ids.tolist() == [[0, 1, 2, 3, 0, 1, 2]]
    assert block.layout is None


def test_alone_each_example_has_a_row() -> None:
    [block] = build_blocks([Example([1, 2], [3]), Example([1, 4], [5, 6])], 1000, "alone")
    assert block.input_ids.tolist() == [[1, 4, 5, 6], [1, 2, 3, 0]]
    assert block.position_ids is None
    assert block.source.tolist() == [1, 2, 5]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost_doubled_or_cut(packing: Packing, seed: int) -> None:
    rng = random.Random(seed)
    examples = make_examples(rng, 30, shared=rng.choice([0, 1, 9]), longest=rng.choice([3, 40]))
    blocks = build_blocks(examples, 150, packing)
    assert sorted(torch.cat([block.target for block in blocks]).tolist()) == learned(examples)
    tokens = sum(map(len, examples))
    held = sum(block.input_ids.numel() for block in blocks)
    if packing == "packed":
        assert held == tokens
    if packing == "alone":
        assert held >= tokens


@pytest.mark.parametrize("packing", PACKINGS)
def test_blocks_hold_to_the_token_budget_with_padding_counted(packing: Packing) -> None:
    examples = make_examples(random.Random(5), 40)
    blocks = build_blocks(examples, 120, packing)
    assert len(blocks) > 1
    assert all(block.input_ids.numel() <= 120 for block in blocks)


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_example_longer_than_the_budget_gets_a_block_of_its_own(packing: Packing) -> None:
    long = Example(list(range(50)), [1, 2])
    blocks = build_blocks([Example([0, 1, 5], [3]), long], 16, packing)
    assert [block.target.tolist() for block in blocks] == [[1, 2], [3]]
    assert blocks[0].input_ids.numel() == 52


@pytest.mark.parametrize("packing", PACKINGS[:2])
def test_groups_hold_powers_of_two_so_that_products_come_in_few_shapes(packing: Packing) -> None:
    for block in build_blocks(make_examples(random.Random(6), 45), 300, packing):
        for count, _ in block.layout.groups if block.layout else ():
            assert count.bit_count() == 1


def test_a_long_beginning_is_paid_once() -> None:
    examples = make_examples(random.Random(7), 20, shared=300, longest=10)
    [block] = build_blocks(examples, 10_000)
    own = sum(len(example) - 300 for example in examples)
    assert 300 + own <= block.input_ids.numel() < 300 + 1.5 * own + 50


def test_prompt_tokens_are_learned_with_their_weight_after_the_shared_beginning() -> None:
    [block] = build_blocks([Example([1, 2, 3], [4]), Example([1, 2, 5], [6])], 100, prompt_weight=0.5)
    assert block.target.tolist() == [3, 4, 5, 6]
    assert block.weight.tolist() == [0.5, 1.0, 0.5, 1.0]
    assert block.source.tolist() == [1, 2, 1, 4]  # the shared beginning's last token predicts both first ones


def test_a_first_token_that_nothing_precedes_is_not_learned() -> None:
    [block] = build_blocks([Example([7], [4])], 100, prompt_weight=0.5)
    assert block.target.tolist() == [4]
    assert block.weight.tolist() == [1.0]
