"""Several processes train as one does: real ones, over gloo, as torchrun starts them."""

import os
import random
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import start
from safetensors.torch import load_file
from test_packing import make_examples

from radllama.files import read_json
from radllama.recipe import Recipe
from radllama.training.processes import Processes, _buckets
from radllama.training.train import train

VALUES: dict[str, Any] = {
    "prompt": {"template": "plain"},
    "lora": {"rank": 4, "alpha": 8, "dropout": 0.0},  # each process draws its own dropout
    "epochs": 2,
    "batch_size": 7,  # does not divide by two, and the last batch is smaller still
    "learning_rate": 0.02,
    "valid_drafts": 2,
    "tracker": "none",
    "precision": "fp32",
}
CONFIG = {"lora": "adapter_config.json", "full": "config.json"}


def as_one_of(rank: int, count: int, port: int, values: dict[str, Any], data: Path, out: Path) -> None:
    """Train with the environment that torchrun gives a process."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "ACCELERATE_USE_CPU": "true"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    torch.set_num_threads(1)
    train(Recipe.model_validate(values), data, out, resume=True)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def start_all(told: Path, count: int, values: dict[str, Any], data: Path, out: Path) -> list[Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [start(told / f"told-{rank}", as_one_of, rank, count, port, values, data, out) for rank in range(count)]


def finish(processes: list[Any], told: Path) -> None:
    for rank, process in enumerate(processes):
        process.join()
        assert process.exitcode == 0, (told / f"told-{rank}").read_text()[-800:]


def difference(one: Path, other: Path, name: str) -> float:
    a, b = (load_file(folder / name) for folder in (one, other))
    assert a.keys() == b.keys()
    return max(float((a[key] - b[key]).abs().max() / a[key].abs().max()) for key in a)


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_two_processes_give_the_losses_and_weights_of_one(
    kind: str, tiny_base: Path, dataset: Path, tmp_path: Path
) -> None:
    values = {**VALUES, "base": str(tiny_base), "tuning": kind, "learning_rate": 0.02 if kind == "lora" else 0.001}
    one, two, sharded = (tmp_path / name for name in ("one", "two", "sharded"))
    for out, count in ((one, 1), (two, 2), (sharded, 2)):
        finish(start_all(tmp_path, count, {**values, "sharded": out == sharded}, dataset, out), tmp_path)
    expected = read_json(one / "run.json")
    name = "adapter_model.safetensors" if kind == "lora" else "model.safetensors"
    for out in (two, sharded):
        found = read_json(out / "run.json")
        assert (expected["processes"], found["processes"]) == (1, 2)
        assert [entry["step"] for entry in expected["history"]] == [entry["step"] for entry in found["history"]]
        for mine, its in zip(expected["history"], found["history"], strict=True):
            assert its["loss"] == pytest.approx(mine["loss"], rel=1e-4)
        assert difference(one, out, name) < 1e-2
        assert {path.name for path in out.iterdir()} == {path.name for path in one.iterdir()}
        assert read_json(out / CONFIG[kind]) == read_json(one / CONFIG[kind])


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_two_killed_processes_resume_to_the_bytes_of_two_undisturbed_ones(
    kind: str, tiny_base: Path, dataset: Path, tmp_path: Path
) -> None:
    """Full tuning with its weights spread over both."""
    values = {**VALUES, "base": str(tiny_base), "epochs": 4, "evaluations": 2, "valid_drafts": 1}
    values |= {"tuning": kind, "sharded": kind == "full"}
    finish(start_all(tmp_path, 2, values, dataset, tmp_path / "undisturbed"), tmp_path)
    killed = tmp_path / "killed"
    processes = start_all(tmp_path, 2, values, dataset, killed)
    deadline = time.monotonic() + 120
    while not list((killed / "checkpoints").glob("step-*")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()  # one may have fallen already over the other's silence
    assert -signal.SIGKILL in [process.exitcode for process in processes]
    assert not (killed / "run.json").exists()
    finish(start_all(tmp_path, 2, values, dataset, killed), tmp_path)
    assert "going on after step" in (tmp_path / "told-0").read_text()
    name = "adapter_model.safetensors" if kind == "lora" else "model.safetensors"
    assert (killed / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
    histories = [read_json(folder / "run.json")["history"] for folder in (tmp_path / "undisturbed", killed)]
    assert histories[0] == histories[1]


def test_only_the_first_process_speaks_and_an_error_stops_them_all(
    tiny_base: Path, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "occupied"
    out.mkdir()
    (out / "letter.txt").write_text("mine")
    processes = start_all(tmp_path, 2, {**VALUES, "base": str(tiny_base)}, dataset, out)
    for process in processes:
        process.join(120)
        assert process.exitcode == 1
    assert all("holds other files" in (tmp_path / f"told-{rank}").read_text() for rank in range(2))
    assert (out / "letter.txt").read_text() == "mine"


def test_shares_are_disjoint_whole_and_of_like_length(tmp_path: Path) -> None:
    examples = make_examples(random.Random(0), 31, longest=100)
    processes = Processes("none", tmp_path)
    shares = []
    for rank in range(4):
        processes.rank, processes.count = rank, 4
        shares.append(processes.share(examples))
    assert sorted(map(repr, (example for share in shares for example in share))) == sorted(map(repr, examples))
    tokens = [sum(map(len, share)) for share in shares]
    assert max(tokens) < 1.25 * min(tokens)


def test_alone_a_process_changes_nothing(tmp_path: Path) -> None:
    processes = Processes("none", tmp_path)
    weight = torch.nn.Parameter(torch.ones(3))
    processes.sum_gradients([weight])
    assert weight.grad is None
    assert processes.sum(2.0, 3.0) == [2.0, 3.0]
    assert processes.from_first(lambda: "told") == "told"
    assert processes.first


def test_buckets_hold_all_parameters_once_and_one_dtype_each() -> None:
    sizes = [
        (torch.float32, 10),
        (torch.float32, 20),
        (torch.bfloat16, 5),
        (torch.float32, 1 << 25),
        (torch.float32, 3),
    ]
    parameters = [torch.nn.Parameter(torch.empty(size, dtype=dtype)) for dtype, size in sizes]
    buckets = _buckets(parameters)
    assert [p.numel() for bucket in buckets for p in bucket] == [size for _, size in sizes]
    assert all(len({p.dtype for p in bucket}) == 1 for bucket in buckets)
    assert len(buckets) == 4
