"""Checkpoints: every digit comes back, and a half-written one is never seen."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from radllama.errors import InputError
from radllama.model import add_adapter, load_base
from radllama.training.averaging import WeightAverage
from radllama.training.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights, trainable_weights


def make_network(base: Path, seed: int = 0) -> Any:
    network = add_adapter(load_base(str(base))[0], 2, 4, 0.0, ["q_proj", "v_proj"], seed)
    torch.manual_seed(seed)
    for weight in trainable_weights(network).values():
        torch.nn.init.normal_(weight)
    return network


def make_optimizer(network: Any) -> Any:
    learned: list[Any] = [p for p in network.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [{"params": learned[:3], "weight_decay": 0.1}, {"params": learned[3:]}]
    return torch.optim.AdamW(groups, lr=0.01)


def step(network: Any, optimizer: Any, seed: int, average: WeightAverage | None = None) -> None:
    torch.manual_seed(seed)
    for weight in network.parameters():
        if weight.requires_grad:
            weight.grad = torch.randn_like(weight)
    optimizer.step()
    if average:
        average.update(network, seed)


def state(number: int) -> dict[str, Any]:
    return {"step": number, "best": {"score": -0.1 / 3, "step": 1}, "history": [{"step": 1, "loss": 1 / 3}]}


def weights(network: Any) -> dict[str, Any]:
    return {name: weight.clone() for name, weight in trainable_weights(network).items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_training_goes_on_from_a_checkpoint_as_if_nothing_had_been(
    tiny_base: Path, tmp_path: Path, averaging: float
) -> None:
    network = make_network(tiny_base)
    optimizer, average = make_optimizer(network), WeightAverage(network, averaging) if averaging else None
    for seed in (1, 2):
        step(network, optimizer, seed, average)
    save_checkpoint(tmp_path / "c", network, average, optimizer, state(2))
    for seed in (3, 4):
        step(network, optimizer, seed, average)

    other = make_network(tiny_base, seed=9)
    optimizer2, average2 = make_optimizer(other), WeightAverage(other, averaging) if averaging else None
    assert load_checkpoint(tmp_path / "c", other, average2, optimizer2) == state(2)
    for seed in (3, 4):
        step(other, optimizer2, seed, average2)
    assert same(weights(other), weights(network))
    if average and average2:
        assert same(average2.weights, average.weights)


def test_moments_come_back_to_the_last_digit(tiny_base: Path, tmp_path: Path) -> None:
    network = make_network(tiny_base)
    optimizer = make_optimizer(network)
    step(network, optimizer, 1)
    save_checkpoint(tmp_path / "c", network, None, optimizer, state(1))
    other = make_optimizer(network)
    load_checkpoint(tmp_path / "c", network, None, other)
    saved, back = optimizer.state_dict(), other.state_dict()
    assert back["param_groups"] == saved["param_groups"]
    assert all(same(back["state"][index], saved["state"][index]) for index in saved["state"])


def test_there_may_be_no_checkpoint_yet(tiny_base: Path, tmp_path: Path) -> None:
    network = make_network(tiny_base)
    assert load_checkpoint(tmp_path / "c", network, None, make_optimizer(network)) is None


def test_older_checkpoints_go_and_the_newest_counts(tiny_base: Path, tmp_path: Path) -> None:
    network = make_network(tiny_base)
    optimizer = make_optimizer(network)
    for number in (9, 10, 100):
        step(network, optimizer, number)
        save_checkpoint(tmp_path / "c", network, None, optimizer, state(number))
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["step-0000100"]
    found = load_checkpoint(tmp_path / "c", network, None, optimizer)
    assert found == state(100)


def test_a_checkpoint_of_the_same_step_is_replaced(tiny_base: Path, tmp_path: Path) -> None:
    network = make_network(tiny_base)
    optimizer = make_optimizer(network)
    step(network, optimizer, 1)
    for seconds in (1.0, 2.0):
        save_checkpoint(tmp_path / "c", network, None, optimizer, state(1) | {"seconds": seconds})
    found = load_checkpoint(tmp_path / "c", network, None, optimizer)
    assert found is not None
    assert found["seconds"] == 2.0


def test_a_half_written_checkpoint_is_never_seen(tiny_base: Path, tmp_path: Path) -> None:
    network = make_network(tiny_base)
    optimizer = make_optimizer(network)
    step(network, optimizer, 1)
    save_checkpoint(tmp_path / "c", network, None, optimizer, state(1))
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path / "c", network, None, optimizer, state(2) | {"best": object()})
    (tmp_path / "c" / ".step-0000003.123.aside").mkdir()  # what a kill leaves
    found = load_checkpoint(tmp_path / "c", network, None, optimizer)
    assert found == state(1)


def test_weights_of_another_model_are_refused(tiny_base: Path, tmp_path: Path) -> None:
    network = make_network(tiny_base)
    save_weights(network, tmp_path / "w.safetensors")
    other = add_adapter(load_base(str(tiny_base))[0], 3, 4, 0.0, ["q_proj", "v_proj"], seed=0)
    before = weights(other)
    with pytest.raises(InputError, match="weights of another model; start again with another --out"):
        load_weights(other, tmp_path / "w.safetensors")
    assert same(weights(other), before)


def test_broken_weights_are_refused(tiny_base: Path, tmp_path: Path) -> None:
    network = make_network(tiny_base)
    path = tmp_path / "w.safetensors"
    with pytest.raises(InputError, match="missing or broken"):
        load_weights(network, path)
    save_weights(network, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="missing or broken"):
        load_weights(network, path)


def test_only_what_training_changes_is_kept(tiny_base: Path) -> None:
    network, _ = load_base(str(tiny_base))
    assert "lm_head.weight" not in trainable_weights(network)  # shared with the input embeddings
    assert "model.embed_tokens.weight" in trainable_weights(network)
    assert all("lora" in name for name in trainable_weights(make_network(tiny_base)))


def test_a_full_disk_leaves_the_old_checkpoint_and_one_system_error(tmp_path: Path) -> None:
    program = f"""
import pathlib, resource, torch
from radllama.training.checkpoint import save_checkpoint
network = torch.nn.Linear(100, 100)
optimizer = torch.optim.AdamW(network.parameters())
folder = pathlib.Path({str(tmp_path / "c")!r})
save_checkpoint(folder, network, None, optimizer, {{"step": 1}})
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    save_checkpoint(folder, network, None, optimizer, {{"step": 2}})
except OSError as error:
    print(error.filename)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "trainable.safetensors" in done.stdout
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["step-0000001"]
    assert json.loads((tmp_path / "c" / "step-0000001" / "state.json").read_text()) == {"step": 1}
