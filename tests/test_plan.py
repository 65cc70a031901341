"""What a recipe will take: told from the shape alone, and true of what then runs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from radllama.errors import InputError
from radllama.recipe import Recipe, read_recipe
from radllama.training import plan as module
from radllama.training.footprint import Footprint, measure_footprint, read_config
from radllama.training.packing import build_blocks
from radllama.training.plan import Device, plan, render_plan

RECIPES = Path(__file__).parents[1] / "recipes"


def recipe(base: Path | str, **changes: Any) -> Recipe:
    values = {"base": str(base), "prompt": {"template": "plain"}, "batch_size": 8, "tracker": "none", **changes}
    return Recipe.model_validate({**values, "precision": "fp32"})


def footprint(chosen: Recipe) -> Footprint:
    config = read_config(chosen)
    [batch] = module._first_batches(chosen, None)
    block = max(build_blocks(batch, chosen.device_tokens), key=lambda block: block.input_ids.numel())
    return measure_footprint(chosen, config, block, "float32", "cpu")


@pytest.mark.parametrize(
    ("name", "parameters", "trainable"),
    [("paper-7b", 6_738_415_616 + 4_194_304, 4_194_304), ("paper-13b", 13_015_864_320 + 6_553_600, 6_553_600)],
)
def test_the_papers_shapes_are_known_without_the_hub(name: str, parameters: int, trainable: int) -> None:
    """6.74 and 13.02 billion, as published; two adapters of rank 8 a layer."""
    chosen = read_recipe(RECIPES / f"{name}.yaml", ["precision=bf16"])
    found = footprint(chosen)
    assert (found.parameters, found.trainable) == (parameters, trainable)


def test_weights_moments_and_gradients_are_held(tiny_base: Path) -> None:
    lora, full = footprint(recipe(tiny_base)), footprint(recipe(tiny_base, tuning="full"))
    assert full.held == full.parameters * (4 + 4 + 8)
    assert lora.held == lora.parameters * 4 + lora.trainable * (4 + 8)
    averaged = footprint(recipe(tiny_base, tuning="full", averaging=0.9))
    assert averaged.held == full.held + full.parameters * 4


def test_four_bits_hold_about_half_a_byte_for_each_frozen_weight() -> None:
    found = footprint(Recipe.model_validate({"base": "meta-llama/Llama-2-7b-hf", "tuning": "qlora"}))
    assert 3.6e9 < found.held < 4.2e9 + 262e6 * 4


def test_a_pass_grows_with_its_tokens_and_shrinks_with_checkpointing(tiny_base: Path) -> None:
    large, small = (footprint(recipe(tiny_base, batch_size=size)) for size in (16, 4))
    assert large.passing > 3 * small.passing
    assert large.held == small.held
    assert footprint(recipe(tiny_base, batch_size=16, activation_checkpointing=True)).passing < large.passing


def test_what_a_layer_adds_is_the_same_for_every_layer() -> None:
    """Deep networks are measured at two depths; the line through them must hit a third."""
    shape = {"hidden_size": 32, "intermediate_size": 64, "heads": 2}

    def passing(layers: int) -> float:
        return footprint(recipe("scratch", tuning="full", scratch={**shape, "layers": layers})).passing

    assert passing(6) == pytest.approx(passing(2) + 2 * (passing(4) - passing(2)), rel=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_the_expected_peak_is_what_a_training_then_measures(tiny_base: Path, dataset: Path, tmp_path: Path) -> None:
    """Within 15% of the resident peak of a process of its own, above what its libraries take."""
    shape = {"vocab_size": 2000, "hidden_size": 256, "intermediate_size": 1024, "layers": 4, "heads": 4}
    settings = {"base": "scratch", "tuning": "full", "scratch": shape, "batch_size": 64, "epochs": 1, "keep": "last"}
    settings |= {"valid_drafts": 0, "tracker": "none", "precision": "fp32"}
    program = rf"""
import json, pathlib, re
from radllama.recipe import Recipe
from radllama.training.plan import plan
from radllama.training.train import train
recipe, data = Recipe.model_validate({settings!r}), pathlib.Path({str(dataset)!r})
expected = plan(recipe, data).peak
train(recipe, data, pathlib.Path({str(tmp_path / "run")!r}))
# Not getrusage: its peak is inherited from the process that started this one.
peak = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())
print(json.dumps([expected, int(peak[1]) * 1024]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    expected, measured = json.loads(done.stdout.splitlines()[-1])
    assert expected == pytest.approx(measured, rel=0.15)


def test_what_does_not_fit_is_told_with_the_switches_that_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_device", lambda: Device("cpu", "a device of 12 GB", 12e9, 0.7e9))
    chosen = read_recipe(RECIPES / "paper-7b.yaml", ["precision=bf16"])
    found = plan(chosen)
    told = render_plan(found)
    assert "does NOT fit" in told
    assert "device_tokens=2048 activation_checkpointing=true tuning=qlora" in told.splitlines()[-1]
    assert told.splitlines()[-1].endswith("fits")
    peaks = [peak for _, peak in found.switches]
    assert peaks == sorted(peaks, reverse=True)


def test_several_devices_hold_what_one_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    eight = Device("cpu", "eight devices of 40 GB", 40e9, 0.7e9, count=8)
    monkeypatch.setattr(module, "find_device", lambda: eight)
    found = plan(read_recipe(RECIPES / "paper-7b.yaml", ["precision=bf16", "tuning=full"]))
    switch, peak = found.switches[-1]
    assert switch.endswith("sharded=true")
    assert peak < 40e9 < found.peak
    one_layer, outside = 4 * 202_383_360, 4 * 2 * 32_000 * 4096
    assert peak > 6.738e9 * 16 / 8 + 2 * one_layer + outside


def test_what_fits_needs_no_switch(tiny_base: Path, dataset: Path) -> None:
    found = plan(recipe(tiny_base), dataset)
    told = render_plan(found)
    assert found.switches == ()
    assert ": fits" not in told.splitlines()[0]
    assert told.splitlines()[-1].endswith("fits")
    assert found.step_tokens < found.step_unshared_tokens
    assert "of usual length" in render_plan(plan(recipe(tiny_base)))


def test_an_unknown_base_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="base 'nobody/nothing': its shape is not known here"):
        plan(recipe("nobody/nothing"))


def test_a_known_shape_without_its_tokenizer_cannot_count_a_dataset(dataset: Path) -> None:
    with pytest.raises(InputError, match="its tokenizer is not here"):
        plan(recipe("meta-llama/Llama-2-7b-hf"), dataset)


def test_the_command_prints_the_plan_and_needs_neither_data_nor_a_run_folder(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from radllama.cli import main

    monkeypatch.setattr(
        sys, "argv", ["radllama", "train", str(RECIPES / "mini-lora.yaml"), f"base={tiny_base}", "--plan"]
    )
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("parameters ")
    monkeypatch.setattr(sys, "argv", ["radllama", "train", str(RECIPES / "mini-lora.yaml"), "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "give --data DATASET and --out RUN, or --plan" in capsys.readouterr().err
