"""Optimizers: AdamW, or Muon for the matrices inside a network and AdamW for all else."""

from typing import Any

from radllama.training.muon import make_muon


def make_optimizer(network: Any, name: str, learning_rate: float, weight_decay: float, precision: str) -> Any:
    """The optimizer of a network's trainable parameters; `precision` ("float32", "bfloat16") is Muon's.

    `adamw` (Loshchilov and Hutter, arXiv 1711.05101) for everything; `muon` (Jordan 2024, scaled as in
    Liu et al., arXiv 2502.16982, so that AdamW's learning rates hold) for the matrices inside the layers,
    and AdamW for embeddings, norms and biases. Norms and biases do not decay.
    """
    import torch

    embedded = {id(p) for m in network.modules() if isinstance(m, torch.nn.Embedding) for p in m.parameters()}
    learned = [p for p in network.parameters() if p.requires_grad]
    matrices = [p for p in learned if name == "muon" and p.ndim == 2 and id(p) not in embedded]
    taken = {id(p) for p in matrices}
    rest = [p for p in learned if id(p) not in taken]
    adamw = torch.optim.AdamW(
        [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},  # norms and biases
        ],
        lr=learning_rate,
        betas=(0.9, 0.98) if matrices else (0.9, 0.999),
    )
    if not matrices:
        return adamw
    return Together(make_muon(matrices, learning_rate, weight_decay, precision), adamw)


class Together:
    """Two optimizers over parameters of their own that step, save and load as one."""

    def __init__(self, first: Any, second: Any) -> None:
        self._both = (first, second)
        self._offset = sum(len(group["params"]) for group in first.param_groups)
        self.param_groups = first.param_groups + second.param_groups

    def step(self) -> None:
        """One step of both."""
        for optimizer in self._both:
            optimizer.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of both."""
        for optimizer in self._both:
            optimizer.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """As torch's: the second's parameters are numbered after the first's."""
        first, second = (optimizer.state_dict() for optimizer in self._both)
        moved = {index + self._offset: values for index, values in second["state"].items()}
        return {"state": first["state"] | moved, "param_groups": first["param_groups"] + second["param_groups"]}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        first, second = self._both
        split = len(first.param_groups)
        mine = {index: values for index, values in saved["state"].items() if index < self._offset}
        moved = {index - self._offset: v for index, v in saved["state"].items() if index >= self._offset}
        first.load_state_dict({"state": mine, "param_groups": saved["param_groups"][:split]})
        second.load_state_dict({"state": moved, "param_groups": saved["param_groups"][split:]})
        # torch replaces the groups on loading; the rate is set through ours.
        self.param_groups = first.param_groups + second.param_groups
