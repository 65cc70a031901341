"""Models on disk: what loads, what is saved, and every folder that must not load in silence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from radllama.errors import InputError
from radllama.files import write_json
from radllama.model import add_adapter, fingerprint, load_base, load_model, save_model
from radllama.prompt import make_prompt, read_prompt
from radllama.recipe import Scratch
from radllama.training.scratch import init_llama

Copy = Callable[[Path], Path]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    def make(folder: Path) -> Path:
        return Path(shutil.copytree(folder, tmp_path / "copy"))

    return make


def make_adapter(base: Path, folder: Path, targets: tuple[str, ...] = ("q_proj", "v_proj")) -> Any:
    network, tokenizer = load_base(str(base))
    network = add_adapter(network, 4, 8, 0.0, list(targets), seed=0)
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    save_model(network, tokenizer, make_prompt("plain", indication=True), folder)
    return network


@pytest.fixture(scope="module")
def adapter(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter over the tiny base, as training saves it, without a run file."""
    folder = tmp_path_factory.mktemp("adapter")
    make_adapter(tiny_base, folder)
    return folder


def change(path: Path, **values: Any) -> None:
    write_json(path, json.loads(path.read_text()) | values)


def logits(network: Any) -> Any:
    with torch.inference_mode():
        return network.eval()(torch.tensor([[1, 40, 41, 42, 43]])).logits


# What loads


def test_a_plain_folder_loads_with_the_papers_prompt(tiny_base: Path) -> None:
    model = load_model(str(tiny_base), "cpu")
    assert model.prompt == make_prompt("paper")
    assert not model.network.training
    assert model.network.dtype == torch.float32
    assert model.name.startswith(f"{tiny_base.name}@")


def test_an_adapter_folder_loads_with_its_base_and_its_prompt(tiny_base: Path, adapter: Path) -> None:
    model = load_model(str(adapter))
    assert model.prompt == make_prompt("plain", indication=True)
    assert not torch.equal(logits(model.network), logits(load_model(str(tiny_base)).network))


def test_the_prompt_is_read_from_the_folder_and_not_by_its_name(adapter: Path, copy: Copy) -> None:
    folder = copy(adapter)
    change(folder / "prompt.json", before="Befund: ")
    assert load_model(str(folder)).prompt.before == "Befund: "
    assert read_prompt(folder).template == "plain"


def test_a_whole_model_comes_back_as_it_was_saved(tiny_base: Path, tmp_path: Path) -> None:
    network, tokenizer = load_base(str(tiny_base))
    with torch.no_grad():
        network.lm_head.weight.mul_(2)
    save_model(network, tokenizer, make_prompt("llama2-chat"), tmp_path / "full")
    model = load_model(str(tmp_path / "full"))
    assert torch.equal(logits(model.network), logits(network))
    assert model.prompt == make_prompt("llama2-chat")
    assert model.tokenizer("Clear.")["input_ids"] == tokenizer("Clear.")["input_ids"]


def test_plain_peft_loads_a_saved_adapter_and_computes_the_same(adapter: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    theirs = AutoPeftModelForCausalLM.from_pretrained(adapter)
    assert torch.equal(logits(theirs), logits(load_model(str(adapter)).network))


def test_a_saved_adapter_holds_its_files_and_nothing_else(adapter: Path) -> None:
    assert {path.name for path in adapter.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "prompt.json",
    }


def test_the_same_adapter_is_saved_as_the_same_bytes(tiny_base: Path, adapter: Path, tmp_path: Path) -> None:
    make_adapter(tiny_base, tmp_path, targets=("v_proj", "q_proj"))
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / name).read_bytes() == (adapter / name).read_bytes()


# What tells models apart


def test_a_name_tells_other_weights_apart(tiny_base: Path, adapter: Path, copy: Copy) -> None:
    folder = copy(tiny_base)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"] *= 1.5
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    hashes = {load_model(str(path)).name.split("@")[1] for path in (tiny_base, folder, adapter)}
    assert len(hashes) == 3


def test_the_fingerprint_is_the_same_in_every_precision(tiny_base: Path) -> None:
    exact, half = (load_base(str(tiny_base), dtype)[0] for dtype in ("float32", "bfloat16"))
    assert fingerprint(exact) == fingerprint(half)
    assert fingerprint(exact, four_bit=True) == fingerprint(half, four_bit=True)


def test_a_four_bit_base_is_told_by_what_is_not_packed(tiny_base: Path) -> None:
    network, _ = load_base(str(tiny_base))
    whole, unpacked = fingerprint(network), fingerprint(network, four_bit=True)
    with torch.no_grad():
        network.model.layers[0].self_attn.q_proj.weight.mul_(2)
    assert fingerprint(network, four_bit=True) == unpacked
    assert fingerprint(network) != whole
    with torch.no_grad():
        network.model.embed_tokens.weight.mul_(2)
    assert fingerprint(network, four_bit=True) != unpacked


# What is refused: one line each


def refused(name: Path | str, device: str = "cpu") -> str:
    with pytest.raises(InputError) as error:
        load_model(str(name), device)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_hub_name_offline_is_one_clear_line() -> None:
    told = refused("meta-llama/Llama-2-7b-hf")
    assert told.startswith("model 'meta-llama/Llama-2-7b-hf' cannot be loaded: ")
    assert "a folder with config.json" in told


@pytest.mark.parametrize("name", ["/no/such/folder", "./runs", "~/runs", "a/b/c"])
def test_a_path_that_is_not_there_is_never_asked_of_the_hub(name: str) -> None:
    assert refused(name) == f"{name}: no such folder"


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path}: no model here (neither config.json nor adapter_config.json)"


def test_an_unfinished_run_is_refused_even_when_weights_stand_there(adapter: Path, copy: Copy) -> None:
    folder = copy(adapter)
    (folder / "recipe.json").write_text("{}")
    assert "this training has not finished" in refused(folder)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "meta"])
def test_a_device_that_is_not_there_is_refused(tiny_base: Path, device: str) -> None:
    assert refused(tiny_base, device) == f"--device {device}: not on this machine; use cpu, or auto"


def test_a_tokenizer_without_an_end_token_is_refused(tiny_base: Path, copy: Copy) -> None:
    folder = copy(tiny_base)
    change(folder / "tokenizer_config.json", eos_token=None)
    assert "has no end token" in refused(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_broken_file_of_a_model_is_refused(tiny_base: Path, copy: Copy, name: str) -> None:
    folder = copy(tiny_base)
    (folder / name).write_bytes((folder / name).read_bytes()[:-30])
    assert refused(folder).startswith(f"model {str(folder)!r} cannot be loaded: ")


def test_pickled_weights_are_never_opened(tiny_base: Path, copy: Copy) -> None:
    folder = copy(tiny_base)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert "no file named model.safetensors" in refused(folder)


def test_code_that_comes_with_a_model_is_never_run(tiny_base: Path, copy: Copy) -> None:
    folder = copy(tiny_base)
    (folder / "code.py").write_text(f"open({str(folder / 'was-run')!r}, 'w')\n")
    change(
        folder / "config.json", model_type="other", auto_map={"AutoConfig": "code.A", "AutoModelForCausalLM": "code.B"}
    )
    assert "cannot be loaded" in refused(folder)
    assert not (folder / "was-run").exists()


def test_a_model_that_lacks_a_tensor_is_refused_and_not_filled_with_random_numbers(tiny_base: Path, copy: Copy) -> None:
    folder = copy(tiny_base)
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.0.self_attn.q_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert refused(folder).endswith(": 1 of its tensors are missing or do not fit its config.json")


def test_a_model_of_another_shape_than_its_config_is_refused(tiny_base: Path, copy: Copy) -> None:
    folder = copy(tiny_base)
    change(folder / "config.json", intermediate_size=32)
    assert refused(folder).endswith(": 6 of its tensors are missing or do not fit its config.json")


def test_four_bits_without_bitsandbytes_say_what_to_install(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"pip install 'radllama\[qlora\]'"):
        load_base(str(tiny_base), four_bit=True)


# Adapters that must not load


@pytest.mark.parametrize("bytes_left", [0, 100])
def test_broken_adapter_weights_are_refused(adapter: Path, copy: Copy, bytes_left: int) -> None:
    folder = copy(adapter)
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:bytes_left])
    assert refused(folder).endswith(": no adapter_model.safetensors, or a broken one; copy the run folder again")


def test_absent_or_pickled_adapter_weights_are_refused(adapter: Path, copy: Copy) -> None:
    folder = copy(adapter)
    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()
    assert "no adapter_model.safetensors" in refused(folder)


def test_an_adapter_that_lacks_a_weight_is_refused(adapter: Path, copy: Copy) -> None:
    folder = copy(adapter)
    weights = load_file(folder / "adapter_model.safetensors")
    weights.popitem()
    save_file(weights, folder / "adapter_model.safetensors")
    assert "the adapter does not fit its base" in refused(folder)


@pytest.mark.parametrize(
    ("width", "layers"),
    [pytest.param(48, 2, id="wider"), pytest.param(32, 3, id="deeper"), pytest.param(32, 1, id="thin")],
)
def test_an_adapter_for_a_base_of_another_shape_is_refused(
    adapter: Path, tiny_base: Path, copy: Copy, tmp_path: Path, width: int, layers: int
) -> None:
    _, tokenizer = load_base(str(tiny_base))
    shape = Scratch.model_validate({"vocab_size": 400, "hidden_size": width, "layers": layers, "heads": 2})
    init_llama(shape, tokenizer, seed=1).save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    folder = copy(adapter)
    change(folder / "adapter_config.json", base_model_name_or_path=str(tmp_path / "other"))
    assert "the adapter does not fit its base" in refused(folder)


def test_an_adapter_for_a_base_of_other_weights_is_refused(
    adapter: Path, tiny_base: Path, copy: Copy, tmp_path: Path
) -> None:
    network, _ = load_base(str(tiny_base))
    run = {"settings": {"base": str(tmp_path / "base"), "tuning": "lora"}, "base_fingerprint": fingerprint(network)}
    folder = copy(adapter)
    write_json(folder / "run.json", run)
    shutil.copytree(tiny_base, tmp_path / "base")
    load_model(str(folder))
    # What merging an adapter into a base changes: neither embeddings nor norms.
    with torch.no_grad():
        network.model.layers[1].self_attn.v_proj.weight.mul_(1.1)
    network.save_pretrained(tmp_path / "base")
    assert (
        refused(folder)
        == f"{folder}: this adapter was tuned on another model than the one now at {str(tmp_path / 'base')!r}"
    )


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("{", "not a JSON file"),
        ("{}", "names no base model"),
        ('{"base_model_name_or_path": "/gone"}', "/gone: no such folder"),
    ],
)
def test_a_broken_adapter_config_is_refused(adapter: Path, copy: Copy, config: str, told: str) -> None:
    folder = copy(adapter)
    (folder / "adapter_config.json").write_text(config)
    assert told in refused(folder)


def test_an_adapter_that_learned_nothing_is_not_saved_in_silence(tiny_base: Path, tmp_path: Path) -> None:
    network, tokenizer = load_base(str(tiny_base))
    network = add_adapter(network, 4, 8, 0.0, ["q_proj"], seed=0)
    with pytest.raises(RuntimeError, match="every adapter weight is zero"):
        save_model(network, tokenizer, make_prompt("plain"), tmp_path)


@pytest.mark.parametrize("targets", [["nothing"], ["q_proj", "nothing"]])
def test_a_target_that_the_base_has_not_is_named(tiny_base: Path, targets: list[str]) -> None:
    with pytest.raises(InputError, match=r"lora\.targets: the base has no nothing$"):
        add_adapter(load_base(str(tiny_base))[0], 4, 8, 0.0, targets, seed=0)


def test_a_target_that_is_no_linear_layer_is_refused(tiny_base: Path) -> None:
    with pytest.raises(InputError, match=r"no adapter can stand on self_attn"):
        add_adapter(load_base(str(tiny_base))[0], 4, 8, 0.0, ["self_attn"], seed=0)
