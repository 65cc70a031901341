import copy
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from radllama.training.averaging import WeightAverage
from radllama.training.muon import make_muon
from radllama.training.optimizer import make_optimizer


def make_network(tied: bool = True) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=tied,
    )
    return LlamaForCausalLM(config)


def take_step(network: Any, optimizer: Any, seed: int) -> None:
    ids = torch.randint(0, 40, (2, 8), generator=torch.Generator().manual_seed(seed))
    network(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def changed(network: Any, before: dict[str, Any]) -> set[str]:
    return {name for name, weight in network.state_dict().items() if not torch.equal(weight, before[name])}


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_every_weight_learns(name: str) -> None:
    network = make_network()
    before = copy.deepcopy(network.state_dict())
    take_step(network, make_optimizer(network, name, 1e-2, 0.1, "float32"), seed=0)
    assert changed(network, before) == set(before)


def test_adamw_is_torchs_without_decay_of_norms() -> None:
    optimizer = make_optimizer(make_network(), "adamw", 1e-3, 0.1, "float32")
    assert isinstance(optimizer, torch.optim.AdamW)
    decays = {group["weight_decay"]: {p.ndim for p in group["params"]} for group in optimizer.param_groups}
    assert decays == {0.1: {2}, 0.0: {1}}


def test_muon_takes_the_matrices_in_the_layers_and_adamw_the_rest() -> None:
    network = make_network(tied=False)
    groups = make_optimizer(network, "muon", 1e-3, 0.1, "float32").param_groups
    shapes = [{tuple(p.shape) for p in group["params"]} for group in groups]
    assert (40, 16) not in shapes[0] or network.lm_head.weight in set(groups[0]["params"])
    assert all(network.model.embed_tokens.weight is not p for p in groups[0]["params"])
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


def test_the_rate_is_set_through_the_groups_also_after_loading() -> None:
    network = make_network()
    optimizer = make_optimizer(network, "muon", 1e-2, 0.0, "float32")
    take_step(network, optimizer, seed=0)
    optimizer.load_state_dict(optimizer.state_dict())
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = copy.deepcopy(network.state_dict())
    take_step(network, optimizer, seed=1)
    assert changed(network, before) == set()


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_restored_optimizer_goes_on_to_the_same_weights(name: str) -> None:
    network = make_network()
    optimizer = make_optimizer(network, name, 1e-2, 0.1, "float32")
    take_step(network, optimizer, seed=0)
    weights, saved = copy.deepcopy(network.state_dict()), copy.deepcopy(optimizer.state_dict())
    take_step(network, optimizer, seed=1)

    other = make_network()
    other.load_state_dict(weights)
    restored = make_optimizer(other, name, 1e-2, 0.1, "float32")
    restored.load_state_dict(saved)
    take_step(other, restored, seed=1)
    assert changed(other, network.state_dict()) == set()


def step_with(optimizer_of: Any) -> Any:
    network = make_network()
    matrices = [p for p in network.model.layers.parameters() if p.ndim == 2]
    optimizer = optimizer_of(matrices)
    for seed in range(3):
        take_step(network, optimizer, seed)
    return torch.cat([matrix.flatten() for matrix in matrices]).detach()


def test_muon_is_torchs_to_the_bit_in_bfloat16_and_close_to_it_in_float32() -> None:
    theirs = step_with(lambda matrices: torch.optim.Muon(matrices, 1e-2, 0.1, adjust_lr_fn="match_rms_adamw"))
    assert torch.equal(step_with(lambda matrices: make_muon(matrices, 1e-2, 0.1, "bfloat16")), theirs)
    exact = step_with(lambda matrices: make_muon(matrices, 1e-2, 0.1, "float32"))
    torch.testing.assert_close(exact, theirs, atol=1e-3, rtol=0)
    assert not torch.equal(exact, theirs)


def test_frozen_weights_are_left_alone() -> None:
    network = make_network()
    network.model.embed_tokens.weight.requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    take_step(network, make_optimizer(network, "muon", 1e-2, 0.1, "float32"), seed=0)
    assert "model.embed_tokens.weight" not in changed(network, before)


def follow(network: Any, average: WeightAverage, values: list[float]) -> None:
    with torch.no_grad():
        for step, value in enumerate(values, start=1):
            for parameter in network.parameters():
                parameter.fill_(value)
            average.update(network, step)


def test_the_average_lies_between_the_weights_it_saw() -> None:
    network = make_network()
    average = WeightAverage(network, 0.9)
    follow(network, average, [0.0] * 50 + [1.0, 2.0])
    for weight in average.weights.values():
        # decay 51/61, then 52/62: 0 -> 10/61 * 1 -> 52/62 * 10/61 + 10/62 * 2
        torch.testing.assert_close(weight.mean().item(), 52 / 62 * 10 / 61 + 10 / 62 * 2, rtol=1e-2, atol=1e-2)


def test_the_network_gets_its_own_weights_back() -> None:
    network = make_network()
    average = WeightAverage(network, 0.9)
    follow(network, average, [0.0, 3.0])
    before = copy.deepcopy(network.state_dict())
    with average.applied(network):
        assert changed(network, before) == set(before)
    assert changed(network, before) == set()


def test_shared_weights_stay_shared_under_the_average() -> None:
    network = make_network(tied=True)
    average = WeightAverage(network, 0.9)
    follow(network, average, [0.0, 3.0])
    with average.applied(network):
        ids = torch.zeros(1, 1, dtype=torch.long)
        assert torch.equal(network.lm_head.weight, network.model.embed_tokens.weight)
        assert torch.isfinite(network(input_ids=ids).logits).all()
