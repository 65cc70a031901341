"""How much memory a training pass needs, told from the network's shape alone: nothing is loaded, nothing computed.

Torch's fake tensors have a shape and a device and no content. A real block goes through the real network made
of them, forward and backward, by the code that trains, and what is alive at once is counted.
"""

import weakref
from dataclasses import dataclass
from typing import Any

from radllama.errors import InputError
from radllama.model import add_adapter, hub_answers, model_folder
from radllama.recipe import Recipe
from radllama.training.lora import speed_up_adapters
from radllama.training.loss import block_loss
from radllama.training.packing import Block
from radllama.training.products import forget_masks
from radllama.training.scratch import make_config

# Two shapes need neither the hub nor Meta's licence to be known (arXiv 2307.09288, and their config.json).
_LLAMA2 = {"vocab_size": 32_000, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5}
KNOWN = {
    "7b": {"hidden_size": 4096, "intermediate_size": 11_008, "num_hidden_layers": 32, "num_attention_heads": 32},
    "13b": {"hidden_size": 5120, "intermediate_size": 13_824, "num_hidden_layers": 40, "num_attention_heads": 40},
}
# NF4 with double quantisation: 4 bits, and a scale for every 64 weights, itself in 8 bits (arXiv 2305.14314, 3).
_NF4_BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8
_FEW_LAYERS = (2, 4)  # what a layer adds is the difference


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes. `held`: weights, their gradients, the optimizer's moments and an average; `passing`: one pass's peak."""

    parameters: int
    trainable: int
    held: float
    passing: float

    @property
    def peak(self) -> float:
        """All of it at once."""
        return self.held + self.passing


def read_config(recipe: Recipe) -> Any:
    """The base's shape: a folder's, a known name's, or a hub name's that lies in the cache or can be asked for."""
    from transformers import AutoConfig, LlamaConfig

    if recipe.scratch:
        return make_config(recipe.scratch, recipe.scratch.vocab_size)
    folder = model_folder(recipe.base)
    if folder is None:
        name = recipe.base.lower()
        for size, shape in KNOWN.items():
            if "llama-2" in name and f"-{size}" in name:
                return LlamaConfig(**_LLAMA2, **shape)
    try:
        local = folder is not None or not hub_answers()
        return AutoConfig.from_pretrained(str(folder or recipe.base), local_files_only=local, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"base {recipe.base!r}: its shape is not known here ({reason})") from None


def measure_footprint(
    recipe: Recipe, config: Any, block: Block, precision: str, device: str, processes: int = 1
) -> Footprint:
    """What training by the recipe needs in each process when `block` is its largest pass. `device`: cpu or cuda."""
    import copy

    network = _make_network(recipe, config, precision)
    learned = [p for p in network.parameters() if p.requires_grad]
    trainable = sum(p.numel() for p in learned)
    weights = _weight_bytes(network, recipe)
    learning = 4.0 * trainable  # gradients
    # Muon keeps one moment of a matrix, AdamW two of everything.
    learning += sum(p.numel() * (4.0 if recipe.optimizer == "muon" and p.ndim == 2 else 8.0) for p in learned)
    learning += 4.0 * trainable * bool(recipe.averaging)
    held = weights + learning
    if recipe.sharded and processes > 1:
        spread = held if recipe.tuning == "full" else weights
        held += spread / processes - spread + _whole_bytes(network)
    layers = config.num_hidden_layers
    if layers <= max(_FEW_LAYERS):
        passing = _measure_pass(network, recipe, block, precision, device)
    else:
        fewer = []
        for count in _FEW_LAYERS:
            small = copy.deepcopy(config)
            small.num_hidden_layers = count
            if getattr(small, "layer_types", None):
                small.layer_types = small.layer_types[:count]
            fewer.append(_measure_pass(_make_network(recipe, small, precision), recipe, block, precision, device))
        less, more = fewer
        passing = less + (more - less) / (_FEW_LAYERS[1] - _FEW_LAYERS[0]) * (layers - _FEW_LAYERS[0])
    return Footprint(sum(p.numel() for p in network.parameters()), trainable, held, passing)


def _make_network(recipe: Recipe, config: Any, precision: str) -> Any:
    """The network as training starts with it, on torch's meta device."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        dtype = torch.float32 if recipe.tuning == "full" else getattr(torch, precision)
        network = AutoModelForCausalLM.from_config(config, dtype=dtype)
        if recipe.tuning != "full":
            lora = recipe.lora
            network = add_adapter(network, lora.rank, lora.alpha, lora.dropout, lora.targets, recipe.seed)
    return network


def _weight_bytes(network: Any, recipe: Recipe) -> float:
    inside = {id(p) for p in network.get_decoder().layers.parameters()}
    total: float = sum(
        p.numel() * (_NF4_BYTES if recipe.tuning == "qlora" and _is_quantized(p, inside) else p.element_size())
        for p in network.parameters()
    )
    return total


def _whole_bytes(network: Any) -> float:
    """What sharding puts together at once: the layer that computes, the next one, and all that is outside layers."""
    layers = network.get_decoder().layers
    inside = sum(p.numel() * p.element_size() for p in layers.parameters())
    everything = sum(p.numel() * p.element_size() for p in network.parameters())
    return float(everything - inside + 2 * inside / len(layers))


def _is_quantized(parameter: Any, inside: set[int]) -> bool:
    return id(parameter) in inside and parameter.ndim == 2 and not parameter.requires_grad


def _measure_pass(network: Any, recipe: Recipe, block: Block, precision: str, device: str) -> float:
    """The bytes that a forward and backward pass keeps alive at most, beyond weights and their gradients."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    _make_fake(network, mode, device)
    speed_up_adapters(network)
    network.train()
    if recipe.activation_checkpointing:
        network.activation_checkpointing_enable({"use_reentrant": False})
    forget_masks()  # real ones must not meet fake ones
    try:
        with mode:
            live = _live_bytes(network)
            with live, block_loss(network, block.to(device), recipe.label_smoothing, precision) as loss:
                loss.backward()  # type: ignore[no-untyped-call]
    finally:
        forget_masks()
    gradients = sum(p.numel() * p.element_size() for p in network.parameters() if p.requires_grad)
    peak: int = live.peak
    return float(max(0, peak - gradients))


def _make_fake(network: Any, mode: Any, device: str) -> None:
    """Give the network's meta tensors a device, in place; tied ones stay tied."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensor

    made: dict[int, Any] = {}
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                if id(parameter) not in made:
                    fake = FakeTensor(mode, parameter.data, torch.device(device))
                    made[id(parameter)] = torch.nn.Parameter(fake, requires_grad=parameter.requires_grad)
                module._parameters[name] = made[id(parameter)]
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = FakeTensor(mode, buffer, torch.device(device))


def _live_bytes(network: Any) -> Any:
    """A torch mode that counts the bytes of all living tensors made inside it, and their peak; views cost nothing."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.now = self.peak = 0
            self._seen = {p.untyped_storage()._cdata for p in (*network.parameters(), *network.buffers())}

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = func(*args, **(kwargs or {}))
            for tensor in tree_leaves(made):
                if isinstance(tensor, torch.Tensor):
                    storage = tensor.untyped_storage()
                    if storage._cdata not in self._seen:
                        self._seen.add(storage._cdata)
                        self.now += storage.nbytes()
                        self.peak = max(self.peak, self.now)
                        weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())
            return made

        def _forget(self, key: int, size: int) -> None:
            self._seen.discard(key)
            self.now -= size

    return Live()
