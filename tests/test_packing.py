"""Packing must not change a digit: packed rows are held against one example at a time."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from radllama.prompt import Example
from radllama.training.packing import Row, block_loss, build_block, group_rows, keeps_apart, pack, shared_beginning

VOCABULARY = 60


def make_examples(rng: random.Random, count: int, shared: int = 5, longest: int = 20) -> list[Example]:
    beginning = [rng.randrange(VOCABULARY) for _ in range(shared)]

    def tokens(least: int) -> list[int]:
        return [rng.randrange(VOCABULARY) for _ in range(rng.randint(least, longest))]

    return [Example(beginning + tokens(1), tokens(1)) for _ in range(count)]


def make_network(seed: int = 0, kv_heads: int = 2) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=kv_heads,
        max_position_embeddings=128,
    )
    return LlamaForCausalLM(config).eval()


def plain_loss(network: Any, examples: Sequence[Example], prompt_weight: float = 0.0) -> torch.Tensor:
    """Cross-entropy of the learned tokens, one example at a time, as a textbook writes it."""
    total = torch.zeros(())
    start = len(shared_beginning(examples))
    for example in examples:
        ids = torch.tensor([example.prompt_ids + example.completion_ids])
        logits = network(input_ids=ids, use_cache=False).logits[0, :-1]
        losses = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
        first = len(example.prompt_ids) - 1
        total = total + losses[first:].sum()
        if prompt_weight:
            total = total + prompt_weight * losses[max(0, start - 1) : first].sum()
    return total


def packed_loss(network: Any, examples: Sequence[Example], row_tokens: int, prompt_weight: float = 0.0) -> torch.Tensor:
    groups = group_rows(pack(examples, row_tokens), device_tokens=200)
    losses = [block_loss(network, build_block(group, prompt_weight)) for group in groups]
    return torch.stack(losses).sum()


@pytest.mark.parametrize("seed", range(12))
def test_loss_and_every_gradient_equal_one_example_at_a_time(seed: int) -> None:
    rng = random.Random(seed)
    examples = make_examples(rng, rng.randint(1, 9), shared=rng.choice([0, 1, 7]))
    network = make_network(seed, kv_heads=rng.choice([1, 2]))
    prompt_weight = rng.choice([0.0, 0.3])

    expected = plain_loss(network, examples, prompt_weight)
    expected_gradients = torch.autograd.grad(expected, list(network.parameters()), allow_unused=True)
    loss = packed_loss(network, examples, rng.choice([16, 40, 100]), prompt_weight)
    gradients = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)

    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)


def test_without_neighbours_the_loss_is_the_same() -> None:
    examples = make_examples(random.Random(1), 5)
    network = make_network()
    alone = sum(
        block_loss(network, build_block([row]), together=False).item() for row in pack(examples, 40, together=False)
    )
    assert alone == pytest.approx(plain_loss(network, examples).item(), rel=1e-5)


def test_an_example_does_not_see_its_neighbour() -> None:
    a, b, c = make_examples(random.Random(2), 3)
    network = make_network()
    other = Example([*b.prompt_ids[:-1], (b.prompt_ids[-1] + 1) % VOCABULARY], b.completion_ids)

    def logits_beside(neighbour: Example) -> torch.Tensor:
        row = Row(shared_beginning([a, b, c]), [neighbour, a])
        block = build_block([row])
        output = network(input_ids=block.input_ids, position_ids=block.position_ids, attention_mask=block.mask)
        logits: torch.Tensor = output.logits.detach().flatten(0, 1)
        return logits[block.source[-len(a.completion_ids) :]]

    torch.testing.assert_close(logits_beside(b), logits_beside(other), rtol=0, atol=0)


def test_logits_are_computed_for_learned_tokens_alone() -> None:
    examples = make_examples(random.Random(3), 4)
    network = make_network()
    shapes = []
    network.lm_head.register_forward_hook(lambda _module, args, _output: shapes.append(tuple(args[0].shape)))
    block_loss(network, build_block(pack(examples, 200)))
    assert shapes == [(sum(len(example.completion_ids) for example in examples), 32)]


def test_the_shared_beginning_stops_short_of_the_shortest_prompt() -> None:
    assert shared_beginning([Example([1, 2, 3], [4]), Example([1, 2, 3, 9], [4])]) == [1, 2]
    assert shared_beginning([Example([1, 2], [4]), Example([5, 2], [4])]) == []
    assert shared_beginning([Example([7], [4])]) == []


@pytest.mark.parametrize("seed", range(5))
def test_packing_loses_and_doubles_nothing(seed: int) -> None:
    examples = make_examples(random.Random(seed), 30)
    rows = pack(examples, 60)
    packed = [example for row in rows for example in row.examples]
    assert sorted(map(repr, packed)) == sorted(map(repr, examples))
    assert all(len(row) <= 60 for row in rows)
    assert len(rows) < len(examples)


def test_an_example_longer_than_a_row_gets_its_own_and_is_not_cut() -> None:
    long = Example(list(range(50)), [1, 2])
    rows = pack([long, Example([0, 1, 5], [3])], 16)
    assert [row.examples for row in rows if long in row.examples] == [[long]]
    assert len(rows[0]) == 52


def test_groups_hold_to_the_token_budget_with_padding_counted() -> None:
    rows = pack(make_examples(random.Random(5), 40), 40)
    groups = list(group_rows(rows, device_tokens=120))
    assert sum(map(len, groups)) == len(rows)
    assert all(len(group) == 1 or len(group) * max(map(len, group)) <= 120 for group in groups)


def test_label_smoothing_spreads_its_share_over_the_vocabulary() -> None:
    [example] = make_examples(random.Random(6), 1)
    network = make_network()
    ids = torch.tensor([example.prompt_ids + example.completion_ids])
    log_shares = network(input_ids=ids).logits[0].log_softmax(-1)[len(example.prompt_ids) - 1 : -1]
    target = torch.tensor(example.completion_ids)
    sharp = -log_shares[range(len(target)), target].sum()
    expected = 0.8 * sharp - 0.2 * log_shares.mean(-1).sum()
    loss = block_loss(network, build_block(pack([example], 100)), smoothing=0.2)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)


def test_a_llama_keeps_neighbours_apart() -> None:
    assert keeps_apart(make_network(), make_examples(random.Random(7), 3), "cpu")


def test_a_network_that_ignores_the_mask_is_found_out() -> None:
    network = make_network()
    forward = network.forward
    network.forward = lambda **inputs: forward(**{**inputs, "attention_mask": None, "position_ids": None})
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(4)  # random attention is too even to tell; a trained one is not
    assert not keeps_apart(network, make_examples(random.Random(8), 3), "cpu")
