"""Checkpoints of an unfinished training: written aside, so that the newest one is always whole."""

import errno
import shutil
from pathlib import Path
from typing import Any

from radllama.errors import InputError
from radllama.files import read_json, write_folder_aside, write_json
from radllama.training.averaging import WeightAverage
from radllama.training.sharding import part_of, whole

_WEIGHTS, _AVERAGE, _OPTIMIZER = "trainable.safetensors", "average.safetensors", "optimizer.safetensors"
_STATE = "state.json"


def trainable_weights(network: Any) -> dict[str, Any]:
    """The parameters that training changes, by name, each stored once where they are shared."""
    return {name: p.detach() for name, p in network.named_parameters() if p.requires_grad}


def save_weights(network: Any, path: Path, first: bool = True) -> None:
    """Write the trainable parameters as safetensors, aside first.

    Where they are sharded every process must call this, and the `first` writes.
    """
    weights = gather(trainable_weights(network), first)
    if first:
        aside = path.with_name(f".{path.name}.aside")
        _save_tensors(weights, aside)
        aside.replace(path)


def load_weights(network: Any, path: Path) -> None:
    """Put trainable parameters back, in place. Raises InputError when the file is another model's."""
    import torch

    weights = _load_tensors(path)
    mine = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if {name: tuple(p.shape) for name, p in mine.items()} != {name: tuple(w.shape) for name, w in weights.items()}:
        raise InputError(f"{path}: weights of another model; start again with another --out")
    with torch.no_grad():
        for name, parameter in mine.items():
            parameter.copy_(part_of(weights[name], parameter))


def save_checkpoint(
    folder: Path, network: Any, average: WeightAverage | None, optimizer: Any, state: dict[str, Any], first: bool = True
) -> None:
    """Write weights, their average, optimizer moments and `state` (JSON values) as `folder`/step-N.

    Older steps are dropped once the new one is whole. There is no random state to keep: every draw of a
    step follows from the recipe's seed and the step's number. Where weights are sharded every process must call
    this, and the `first` writes: the same files as a process that is alone.
    """
    weights = gather(trainable_weights(network), first)
    moments = gather(
        {
            f"{index}.{key}": value
            for index, values in optimizer.state_dict()["state"].items()
            for key, value in values.items()
        },
        first,
    )
    if not first:
        return
    target = folder / f"step-{state['step']:07d}"
    with write_folder_aside(target) as aside:
        _save_tensors(weights, aside / _WEIGHTS)
        if average:
            _save_tensors(average.weights, aside / _AVERAGE)
        _save_tensors(moments, aside / _OPTIMIZER)
        write_json(aside / _STATE, state)
    for old in _steps(folder):
        if old != target:
            shutil.rmtree(old)


def load_checkpoint(folder: Path, network: Any, average: WeightAverage | None, optimizer: Any) -> dict[str, Any] | None:
    """Restore the newest checkpoint in place and return its state; None when there is none yet."""
    steps = _steps(folder)
    if not steps:
        return None
    newest = steps[-1]
    load_weights(network, newest / _WEIGHTS)
    if average:
        with average.applied(network):
            load_weights(network, newest / _AVERAGE)
    learned = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Any]] = {}
    for key, value in sorted(_load_tensors(newest / _OPTIMIZER).items()):  # in one order in every process
        index, name = key.split(".", 1)
        moments.setdefault(int(index), {})[name] = part_of(value, learned[int(index)])
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    state: dict[str, Any] = read_json(newest / _STATE)
    return state


def gather(tensors: dict[str, Any], first: bool) -> dict[str, Any]:
    """The tensors, put together where they are sharded; of those only the `first` process keeps what it gets."""
    found = {}
    for name, tensor in tensors.items():
        together = whole(tensor)
        if first:
            found[name] = together.contiguous()
    return found


def _save_tensors(tensors: dict[str, Any], path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(tensors, path)
    except SafetensorError as error:  # what a full disk raises
        path.unlink(missing_ok=True)
        raise OSError(errno.EIO, str(error), str(path)) from None


def _load_tensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Any] = load_file(path)
    except (OSError, SafetensorError):
        raise InputError(f"{path}: missing or broken; start again with another --out") from None
    return tensors


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))
