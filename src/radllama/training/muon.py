"""Muon in any precision. Torch's computes in bfloat16 always: 30 times slower on a processor that has none."""

from collections.abc import Sequence
from typing import Any

_NORM = 0.2  # Liu et al., arXiv 2502.16982: updates of the size of AdamW's, so that its learning rates hold


def make_muon(matrices: Sequence[Any], learning_rate: float, weight_decay: float, precision: str) -> Any:
    """Torch's Muon (Jordan 2024), whose updates are made orthogonal in `precision` ("float32", "bfloat16").

    In bfloat16 its steps are those of torch's to the bit, and its state is torch's in either.
    """
    import torch

    dtype = getattr(torch, precision)

    class Muon(torch.optim.Muon):
        @torch.no_grad()
        def step(self, closure: None = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                for matrix in group["params"]:
                    if matrix.grad is None:
                        continue
                    state = self.state[matrix]
                    if not state:
                        state["momentum_buffer"] = torch.zeros_like(matrix.grad)
                    momentum = state["momentum_buffer"].lerp_(matrix.grad, 1 - group["momentum"])
                    update = matrix.grad.lerp(momentum, group["momentum"]).to(dtype)
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    rate = group["lr"] * _NORM * max(matrix.shape) ** 0.5
                    matrix.add_(_orthogonal(update, group), alpha=-rate)

    return Muon(matrices, learning_rate, weight_decay)


def _orthogonal(update: Any, group: dict[str, Any]) -> Any:
    """Newton-Schulz iterations: the matrix `update`, its singular values brought near 1."""
    import torch

    a, b, c = group["ns_coefficients"]
    tall = update.shape[0] > update.shape[1]
    wide = update.T if tall else update
    wide = wide / wide.norm().clamp(min=group["eps"])
    for _ in range(group["ns_steps"]):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if tall else wide
