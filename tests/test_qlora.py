"""QLoRA for real: a base in 4 bits, adapters that learn over it. bitsandbytes runs NF4 on a CPU too."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from radllama.model import load_model
from radllama.recipe import Recipe
from radllama.training.train import train

pytest.importorskip("bitsandbytes", reason="the qlora extra is not installed: pip install 'radllama[qlora]'")


@pytest.mark.filterwarnings("ignore")  # bitsandbytes warns of torch's own deprecations
def test_adapters_learn_over_a_base_in_four_bits(tiny_base: Path, dataset: Path, tmp_path: Path) -> None:
    chosen = Recipe.model_validate(
        {
            "base": str(tiny_base),
            "tuning": "qlora",
            "prompt": {"template": "plain"},
            "lora": {"rank": 4, "alpha": 8, "targets": ["q_proj", "v_proj", "up_proj", "down_proj"]},
            "epochs": 3,
            "evaluations": 1,
            "batch_size": 8,
            "learning_rate": 0.02,
            "valid_drafts": 1,
            "tracker": "none",
            "activation_checkpointing": True,
        }
    )
    run = train(chosen, dataset, tmp_path / "run")
    losses = [entry["loss"] for entry in run["history"]]
    assert losses[-1] < losses[0]
    assert run["packing"] == "shared"
    weights = load_file(tmp_path / "run" / "adapter_model.safetensors")
    assert all(weight.any() for weight in weights.values())
    assert load_model(str(tmp_path / "run")).network.peft_config  # over the base in full precision, by its fingerprint
