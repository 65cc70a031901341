from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from radllama.recipe import Scratch
from radllama.report import Report
from radllama.training.scratch import add_dropout, init_llama, train_tokenizer

SHAPE = Scratch(vocab_size=320, hidden_size=32, intermediate_size=64, layers=2, heads=2, context_tokens=128)


@pytest.fixture(scope="module")
def tokenizer(reports: list[Report]) -> Any:
    return train_tokenizer((report.findings for report in reports), SHAPE.vocab_size)


@given(text=st.text(max_size=40))
@settings(max_examples=100)
def test_no_text_is_out_of_reach(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_digits_stand_alone(tokenizer: Any) -> None:
    ids = tokenizer("1234", add_special_tokens=False)["input_ids"]
    assert [tokenizer.decode([i]) for i in ids] == ["1", "2", "3", "4"]


def test_the_end_is_not_padding_and_every_prompt_has_a_begin(tokenizer: Any) -> None:
    assert len({tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id}) == 3
    assert tokenizer("Clear.")["input_ids"][0] == tokenizer.bos_token_id


def test_the_network_is_a_llama_of_the_shape_asked_for(tokenizer: Any) -> None:
    network = init_llama(SHAPE, tokenizer, seed=0)
    assert type(network).__name__ == "LlamaForCausalLM"
    assert (network.config.num_hidden_layers, network.config.hidden_size) == (2, 32)
    assert network.get_input_embeddings().weight is network.get_output_embeddings().weight
    assert network.config.eos_token_id == tokenizer.eos_token_id


def test_weights_follow_from_the_seed(tokenizer: Any) -> None:
    first, again, other = (init_llama(SHAPE, tokenizer, seed) for seed in (5, 5, 6))
    assert torch.equal(first.model.embed_tokens.weight, again.model.embed_tokens.weight)
    assert not torch.equal(first.model.embed_tokens.weight, other.model.embed_tokens.weight)


def test_dropout_acts_while_training_alone(tokenizer: Any) -> None:
    network = init_llama(SHAPE, tokenizer, seed=0)
    ids = torch.tensor([tokenizer("Clear lungs.")["input_ids"]])
    plain = network.eval()(ids).logits
    add_dropout(network, 0.5)
    assert torch.equal(network.eval()(ids).logits, plain)
    network.train()
    assert not torch.equal(network(ids).logits, network(ids).logits)
