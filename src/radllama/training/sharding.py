"""Weights spread over the processes, for a model that no single device holds: torch's own `fully_shard` (FSDP).

Every layer's weights are put together when it computes and let go afterwards; each process keeps a part of them, and
of a full tuning's gradients and moments. Adapters are small and stay whole. Without accelerate, whose way would take
over the backward pass, the optimizer and the files: here all three stay those of one process.
"""

from typing import Any

from radllama.errors import InputError


def shard(network: Any, device: Any, count: int) -> None:
    """Spread a network's weights over `count` processes, in place, layer after layer; adapters are left whole."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    base = network.get_base_model() if hasattr(network, "get_base_model") else network
    layers: Any = getattr(base.get_decoder(), "layers", None)
    if not layers:
        raise InputError("sharded: this base has no layers that could be spread; set sharded: false")
    adapters = {p for name, p in base.named_parameters() if "lora_" in name}
    for parameter in adapters:
        parameter.data = parameter.data.to(device)
    mesh = init_device_mesh(device.type, (count,))
    for part in (*layers, base):  # the last takes what is outside layers
        # Left whole after a forward pass, weights would be saved and loaded beside those that train.
        fully_shard(part, mesh=mesh, ignored_params=adapters, reshard_after_forward=True)


def is_sharded(tensor: Any) -> bool:
    """Whether this process holds only a part of the tensor."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Any) -> Any:
    """A tensor put together from all processes (each must call this), in the machine's memory; others as they are."""
    return tensor.full_tensor().cpu() if is_sharded(tensor) else tensor


def part_of(tensor: Any, like: Any) -> Any:
    """The part of a whole tensor that this process holds of `like`; the whole where that is not sharded."""
    import torch
    from torch.distributed.tensor import distribute_tensor

    if not is_sharded(like) or tensor.shape != like.shape:
        return tensor
    with torch.no_grad():
        return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
