"""The saving must not change a digit: packed losses and gradients are held against one example at a time."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_packing import VOCABULARY, make_examples
from transformers import (
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from radllama.library import Library
from radllama.model import add_adapter
from radllama.prompt import TEMPLATES, Example, make_prompt
from radllama.recipe import Neighbours
from radllama.report import Report
from radllama.training.examples import Encoder
from radllama.training.loss import block_loss, choose_packing
from radllama.training.packing import PACKINGS, Packing, build_blocks, shared_beginning

SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "attn_implementation": "sdpa",
}


def make_network(seed: int = 0, family: Any = (LlamaConfig, LlamaForCausalLM), **changes: Any) -> Any:
    torch.manual_seed(seed)
    network = family[1](family[0](**{**SHAPE, **changes})).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2)  # as uneven as a trained one: a leak must show
    return network


def adapted(network: Any) -> Any:
    """With an adapter that does something: PEFT's own begins at zero."""
    network = add_adapter(network, 4, 8, 0.0, ["q_proj", "v_proj"], seed=0).eval()
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    return network


def learned_weights(network: Any) -> list[torch.Tensor]:
    return [p for p in network.parameters() if p.requires_grad]


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


def gradients_of(network: Any, examples: Sequence[Example], packing: Packing, budget: int, prompt_weight: float) -> Any:
    total = 0.0
    for block in build_blocks(examples, budget, packing, prompt_weight):
        with block_loss(network, block) as loss:
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
    gradients = [p.grad for p in learned_weights(network)]
    network.zero_grad()
    return total, gradients


def assert_exact(
    network: Any,
    examples: Sequence[Example],
    packing: Packing = "shared",
    budget: int = 200,
    prompt_weight: float = 0.0,
) -> None:
    """Equal to a relative 1e-5, each gradient measured against its own size."""
    expected = plain_loss(network, examples, prompt_weight)
    expected.backward()  # type: ignore[no-untyped-call]
    wanted = [p.grad for p in learned_weights(network)]
    network.zero_grad()
    loss, gradients = gradients_of(network, examples, packing, budget, prompt_weight)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for gradient, want in zip(gradients, wanted, strict=True):
        assert want is not None
        assert torch.linalg.vector_norm(gradient - want) <= 1e-5 * torch.linalg.vector_norm(want)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 9),
    shared=st.sampled_from([0, 1, 7, 60]),
    longest=st.sampled_from([1, 8, 40]),
    kv_heads=st.sampled_from([1, 2]),
    lora=st.booleans(),
    budget=st.sampled_from([30, 200, 2000]),
    prompt_weight=st.sampled_from([0.0, 0.3]),
)
def test_loss_and_every_gradient_equal_one_example_at_a_time(
    seed: int, count: int, shared: int, longest: int, kv_heads: int, lora: bool, budget: int, prompt_weight: float
) -> None:
    examples = make_examples(random.Random(seed), count, shared, longest)
    network = make_network(seed, num_key_value_heads=kv_heads)
    assert_exact(adapted(network) if lora else network, examples, "shared", budget, prompt_weight)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("lora", [True, False], ids=["lora", "full"])
def test_every_way_of_packing_is_exact(packing: Packing, lora: bool) -> None:
    network = make_network(1)
    assert_exact(adapted(network) if lora else network, make_examples(random.Random(1), 6), packing)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_prompts_that_hold_neighbours_are_exact(
    template: str, packing: Packing, tiny_base: Path, reports: list[Report]
) -> None:
    """Long prompts that differ after the instruction, some of them without any: much is read, little is learned."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    prompt = make_prompt(template, neighbours=Neighbours(count=2, findings=True, budget_tokens=120))
    encoder = Encoder(prompt, tokenizer, 1024, library=Library.build(reports, "bm25"))
    examples = [encoder.encode(report, bare=number == 2) for number, report in enumerate(reports[:6])]
    network = make_network(2, vocab_size=len(tokenizer), max_position_embeddings=1024)
    assert_exact(adapted(network), [one for one in examples if one], packing, budget=900)
    assert encoder.neighbours["shown"] >= 5


def test_a_sliding_window_is_kept_to() -> None:
    network = make_network(3, (MistralConfig, MistralForCausalLM), sliding_window=6)
    assert_exact(network, make_examples(random.Random(3), 6, shared=9))
    assert_exact(network, [Example([1] * 60 + [i], [2, i]) for i in range(3)])


def test_soft_capped_scores_are_kept_to() -> None:
    network = make_network(
        4, (Gemma2Config, Gemma2ForCausalLM), attn_implementation="eager", attn_logit_softcapping=0.5, sliding_window=8
    )
    assert_exact(network, make_examples(random.Random(4), 6, shared=9))


@pytest.mark.parametrize("packing", PACKINGS)
def test_activation_checkpointing_computes_the_same(packing: Packing) -> None:
    network, examples = adapted(make_network(5)), make_examples(random.Random(5), 6)
    loss, gradients = gradients_of(network, examples, packing, 200, 0.0)
    network.activation_checkpointing_enable({"use_reentrant": False})
    network.train()
    again, gradients_again = gradients_of(network, examples, packing, 200, 0.0)
    assert again == pytest.approx(loss, rel=1e-6)
    for one, other in zip(gradients, gradients_again, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_example_does_not_see_its_neighbour(packing: Packing) -> None:
    a, b = sorted(make_examples(random.Random(6), 2), key=len, reverse=True)
    other = Example([*b.prompt_ids[:-1], (b.prompt_ids[-1] + 1) % VOCABULARY], b.completion_ids)
    network = adapted(make_network(6))
    logits: list[torch.Tensor] = []
    network.get_output_embeddings().register_forward_hook(lambda _m, _a, output: logits.append(output.flatten(0, 1)))
    for neighbour in (b, other):
        [block] = build_blocks([a, neighbour], 200, packing)
        with torch.no_grad(), block_loss(network, block):
            pass
    one, two = logits
    mine = len(a.completion_ids)
    torch.testing.assert_close(one[:mine], two[:mine], rtol=0, atol=0)
    assert not torch.equal(one[mine:], two[mine:])


def test_the_end_of_the_network_computes_learned_tokens_alone() -> None:
    examples = make_examples(random.Random(7), 4)
    network = make_network(7)
    last = network.model.layers[-1]
    watched = {"head": network.lm_head, "mlp": last.mlp.up_proj, "q": last.self_attn.q_proj, "k": last.self_attn.k_proj}
    tokens: dict[str, int] = {}
    for name, module in watched.items():
        module.register_forward_hook(lambda _m, args, _o, name=name: tokens.update({name: args[0].numel() // 32}))
    [block] = build_blocks(examples, 1000)
    with block_loss(network, block):
        pass
    learned = sum(len(example.completion_ids) for example in examples)
    whole = block.input_ids.numel()
    # Rounded up: a CPU prepares a product of every new shape.
    assert tokens == {"head": -(-learned // 32) * 32, "mlp": -(-learned // 32) * 32, "q": 64, "k": -(-whole // 64) * 64}
    assert tokens["head"] < whole / 2


def test_a_network_is_left_as_it_was() -> None:
    network = make_network(8)
    ids = torch.tensor([[1, 2, 3]])
    before = network(input_ids=ids).logits
    [block] = build_blocks(make_examples(random.Random(8), 3), 1000)
    with pytest.raises(KeyError), block_loss(network, block):
        raise KeyError
    assert network.config._attn_implementation == "sdpa"
    torch.testing.assert_close(network(input_ids=ids).logits, before, rtol=0, atol=0)


def test_label_smoothing_spreads_its_share_over_the_vocabulary() -> None:
    [example] = make_examples(random.Random(9), 1)
    network = make_network(9)
    ids = torch.tensor([example.prompt_ids + example.completion_ids])
    log_shares = network(input_ids=ids).logits[0].log_softmax(-1)[len(example.prompt_ids) - 1 : -1]
    target = torch.tensor(example.completion_ids)
    sharp = -log_shares[range(len(target)), target].sum()
    expected = 0.8 * sharp - 0.2 * log_shares.mean(-1).sum()
    with block_loss(network, build_blocks([example], 100)[0], smoothing=0.2) as loss:
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)


def test_bfloat16_is_near() -> None:
    network, examples = adapted(make_network(10)), make_examples(random.Random(10), 6)
    [block] = build_blocks(examples, 1000)
    expected = plain_loss(network, examples).item()
    with block_loss(network, block, precision="bfloat16") as loss:
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(expected, rel=0.02)


# Which packing a model can have


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_llama_shares_the_beginning(implementation: str) -> None:
    network = make_network(11, attn_implementation=implementation)
    assert choose_packing(network, make_examples(random.Random(11), 3), "cpu") == "shared"


def test_a_model_that_takes_no_layout_is_packed_by_its_positions() -> None:
    network = make_network(12)
    forward = network.forward
    network.forward = lambda layout=None, **inputs: forward(**inputs)
    assert choose_packing(network, make_examples(random.Random(12), 3), "cpu") == "packed"
    assert_exact(network, make_examples(random.Random(12), 5), "packed")


def test_a_network_that_ignores_layout_and_positions_is_found_out() -> None:
    network = make_network(13)
    forward = network.forward

    def ignore(input_ids: torch.Tensor, **_: Any) -> Any:
        return forward(input_ids=input_ids, use_cache=False)

    network.forward = ignore
    assert choose_packing(network, make_examples(random.Random(13), 3), "cpu") == "alone"
