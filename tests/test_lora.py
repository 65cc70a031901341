"""Adapters computed our way are PEFT's adapters."""

from pathlib import Path
from typing import Any

import pytest
import torch

from radllama.model import add_adapter, load_base
from radllama.training.lora import speed_up_adapters

IDS = torch.arange(12).view(2, 6)


def make_network(base: Path, dropout: float = 0.0, dtype: str = "float32") -> Any:
    network = add_adapter(load_base(str(base), dtype)[0], 4, 8, dropout, ["q_proj", "up_proj"], seed=0)
    torch.manual_seed(1)
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return network


def output_and_gradients(network: Any, precision: torch.dtype = torch.float32) -> tuple[torch.Tensor, Any]:
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        logits = network(input_ids=IDS).logits.float()
    logits.square().mean().backward()
    return logits.detach(), {n: p.grad for n, p in network.named_parameters() if p.requires_grad}


def test_outputs_and_gradients_are_those_of_peft(tiny_base: Path) -> None:
    expected, gradients = output_and_gradients(make_network(tiny_base))
    ours = make_network(tiny_base)
    speed_up_adapters(ours)
    logits, our_gradients = output_and_gradients(ours)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
    assert gradients.keys() == our_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(our_gradients[name], gradient, rtol=1e-4, atol=1e-7)


def test_a_bfloat16_base_keeps_float32_adapters_and_gradients(tiny_base: Path) -> None:
    expected, _ = output_and_gradients(make_network(tiny_base, dtype="bfloat16"), torch.bfloat16)
    ours = make_network(tiny_base, dtype="bfloat16")
    speed_up_adapters(ours)
    logits, gradients = output_and_gradients(ours, torch.bfloat16)
    assert torch.linalg.vector_norm(logits - expected) < 0.02 * torch.linalg.vector_norm(expected)
    assert all(gradient.dtype == torch.float32 for gradient in gradients.values())


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_dropout_drops_its_share_keeps_the_mean_and_follows_the_seed(tiny_base: Path, share: float) -> None:
    network = make_network(tiny_base, share).train()
    speed_up_adapters(network)
    module = network.get_decoder().layers[0].self_attn.q_proj
    module.base_layer.weight.data.zero_()
    module.lora_A["default"].weight.data.copy_(torch.eye(4, 32))
    module.lora_B["default"].weight.data.copy_(torch.eye(32, 4))
    torch.manual_seed(5)
    seen = module(torch.ones(1, 4000, 32))[..., :4]
    torch.manual_seed(5)
    assert torch.equal(module(torch.ones(1, 4000, 32))[..., :4], seen)
    assert not torch.equal(module(torch.ones(1, 4000, 32))[..., :4], seen)
    assert (seen == 0).float().mean().item() == pytest.approx(share, rel=0.1)
    assert seen.mean().item() == pytest.approx(module.scaling["default"], rel=0.02)
    network.eval()
    assert torch.equal(module(torch.ones(1, 3, 32))[..., :4], torch.full((1, 3, 4), 2.0))


def test_a_disabled_adapter_is_out(tiny_base: Path) -> None:
    network = make_network(tiny_base).eval()
    speed_up_adapters(network)
    with network.disable_adapter():
        alone = network(input_ids=IDS).logits
    torch.testing.assert_close(alone, load_base(str(tiny_base))[0](input_ids=IDS).logits)
    assert not torch.allclose(network(input_ids=IDS).logits, alone)


def test_the_adapter_saves_as_before(tiny_base: Path, tmp_path: Path) -> None:
    plain, ours = make_network(tiny_base), make_network(tiny_base)
    speed_up_adapters(ours)
    for network, name in ((plain, "plain"), (ours, "ours")):
        network.save_pretrained(tmp_path / name)
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("plain", "ours")]
    assert weights[0] == weights[1]


def test_other_variants_are_left_to_peft(tiny_base: Path) -> None:
    from peft import LoraConfig, get_peft_model

    network = get_peft_model(load_base(str(tiny_base))[0], LoraConfig(r=2, target_modules=["q_proj"], use_dora=True))
    speed_up_adapters(network)
    assert "forward" not in vars(network.get_decoder().layers[0].self_attn.q_proj)
