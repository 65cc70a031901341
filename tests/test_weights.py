"""Weights are those that were written: pinned in the run file, checked by every engine before a word is drafted."""

import shutil
from pathlib import Path

import pytest

from radllama.drafting.load import load_drafter
from radllama.engines import ENGINES
from radllama.errors import InputError
from radllama.files import hash_file, read_json, write_json
from radllama.model import EMBEDDED, add_adapter, fingerprint, load_base, load_model, model_folder, save_model
from radllama.prompt import make_prompt
from radllama.weights import BASE_PINS, PINS, check_base_weights, check_weights, hash_weights, read_pins

NAME = "model.safetensors"


@pytest.fixture
def model(served_model: Path, tmp_path: Path) -> Path:
    """A model folder whose run file pins its weights, to be spoiled."""
    folder = Path(shutil.copytree(served_model, tmp_path / "model"))
    write_json(folder / "run.json", {"command": "train", "settings": {}, PINS: hash_weights(folder)})
    return folder


def spoil(path: Path) -> None:
    """Change a weight in the middle, which no fingerprint sees."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def test_what_is_pinned_is_the_hash_of_the_file(model: Path) -> None:
    assert read_pins(model) == {NAME: hash_file(model / NAME)}
    assert check_weights(model)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_engine_loads_a_changed_weight(model: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADLLAMA_HOME", str(model / "home"))
    spoil(model / NAME)
    with pytest.raises(InputError) as caught:
        load_drafter(str(model), "cpu", engine)
    told = f"(its SHA-256 differs from the one in {model / 'run.json'}); copy the model again"
    assert str(caught.value) == f"{model / NAME}: not the weights that were written {told}"


def test_a_file_that_is_gone_or_was_added_is_told(model: Path) -> None:
    shutil.copy(model / NAME, model / "adapter_model.safetensors")
    with pytest.raises(InputError, match=r"adapter_model.safetensors: none of the weights that .* pins; remove it"):
        check_weights(model)
    (model / "adapter_model.safetensors").unlink()
    (model / NAME).unlink()
    with pytest.raises(InputError, match="missing, though"):
        check_weights(model)


def test_a_model_from_elsewhere_pins_nothing_and_loads(served_model: Path) -> None:
    assert not check_weights(served_model)
    assert load_model(str(served_model), "cpu")


def test_the_embedded_model_is_pinned_in_the_package() -> None:
    folder = model_folder(EMBEDDED)
    assert folder is not None
    assert check_weights(folder)


def test_an_adapter_is_held_to_its_own_weights_and_its_bases(served_model: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(served_model, tmp_path / "base"))
    network, tokenizer = load_base(str(base))
    folder, before = tmp_path / "adapter", fingerprint(network)
    network = add_adapter(network, 4, 8, 0.0, ["q_proj"], seed=0)
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            weight.data.fill_(0.1)
    save_model(network, tokenizer, make_prompt("plain"), folder)
    run = {"settings": {"base": str(base), "tuning": "lora"}, "base_fingerprint": before}
    write_json(folder / "run.json", {**run, PINS: hash_weights(folder), BASE_PINS: hash_weights(base)})
    load_model(str(folder), "cpu")
    assert check_base_weights(folder, base)
    spoil(folder / "adapter_model.safetensors")
    with pytest.raises(InputError, match=r"adapter_model.safetensors: not the weights that were written"):
        load_model(str(folder), "cpu")
    spoil(folder / "adapter_model.safetensors")
    spoil(base / NAME)
    with pytest.raises(InputError, match=r"base/model.safetensors: not the weights that were written"):
        load_model(str(folder), "cpu")


def test_a_training_pins_what_it_wrote_and_what_it_started_from(dataset: Path, tiny_base: Path, tmp_path: Path) -> None:
    from radllama.recipe import Recipe
    from radllama.training.train import train

    recipe = Recipe.model_validate(
        {"base": str(tiny_base), "epochs": 1, "batch_size": 16, "context_tokens": 256, "keep": "last"}
    )
    told = train(recipe, dataset, tmp_path / "run")
    run = read_json(tmp_path / "run" / "run.json")
    assert (
        run[PINS]
        == told[PINS]
        == {"adapter_model.safetensors": hash_file(tmp_path / "run" / "adapter_model.safetensors")}
    )
    assert run[BASE_PINS] == hash_weights(tiny_base)
