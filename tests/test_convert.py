"""Conversion: made once, checked, kept whole or not at all, and never trusted after a change."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from radllama.drafting.draft import draft_file
from radllama.drafting.load import load_drafter
from radllama.engines import ENGINES, Sampling
from radllama.engines import convert as convert_module
from radllama.engines.convert import converted_folder
from radllama.engines.manifest import MANIFEST_FILE, hash_files, is_whole, read_manifest
from radllama.engines.source import hash_source
from radllama.errors import InputError
from radllama.files import write_jsonl
from radllama.model import EMBEDDED, add_adapter, load_base, load_model, model_folder, save_model
from radllama.prompt import make_prompt, write_prompt
from radllama.report import Report

SHORT = Sampling(max_new_tokens=12)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RADLLAMA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def done(lively_base: Path) -> Path:
    """The lively model with its float32 form in its folder."""
    converted_folder(str(lively_base), "float32")
    return lively_base


@pytest.fixture
def model(done: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(done, tmp_path / "model"))


@pytest.fixture
def fresh(model: Path) -> Path:
    """The model before any conversion."""
    for folder in model.glob("ctranslate2-*"):
        shutil.rmtree(folder)
    return model


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def nudge_weights(folder: Path) -> None:
    network, _ = load_base(str(folder))
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(1.01)
    network.save_pretrained(folder)


# Once


def test_it_lies_in_the_models_folder_and_says_how_it_was_checked(model: Path) -> None:
    folder = converted_folder(str(model), "float32")
    assert folder == model / "ctranslate2-float32"
    manifest = read_manifest(folder)
    assert manifest.source == hash_source(model)
    assert (manifest.checked, manifest.equal + manifest.near_ties) == (100, 100)
    assert (manifest.precision, manifest.ends, manifest.context_tokens) == ("float32", ["</s>"], 256)
    assert manifest.files == {name: digest for name, digest in hash_files(folder).items() if name != MANIFEST_FILE}
    assert names(folder) == {"config.json", MANIFEST_FILE, "model.bin", "tokenizer.json", "vocabulary.json"}


def test_it_is_made_once(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = (model / "ctranslate2-float32" / "model.bin").stat().st_mtime_ns
    folder = converted_folder(str(model), "float32")
    assert (folder / "model.bin").stat().st_mtime_ns == before
    assert capfd.readouterr() == ("", "")


def test_a_model_that_moved_is_not_converted_again_and_goes_by_its_new_name(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    moved = model.rename(tmp_path / "moved")
    drafter = load_drafter(str(moved), engine="ctranslate2")
    assert drafter.name == load_model(str(moved), "cpu").name
    assert drafter.name.startswith("moved@")
    assert "converting" not in capfd.readouterr().err


def test_8_bits_are_smaller_and_say_how_many_drafts_they_change(fresh: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = converted_folder(str(fresh), "int8")
    manifest = read_manifest(folder)
    assert 0 <= manifest.equal < manifest.checked == 100
    assert f"checked on 100 prompts: {manifest.equal} drafts at int8" in capfd.readouterr().err
    assert names(fresh).isdisjoint({"ctranslate2-float32"})
    assert (folder / "model.bin").stat().st_size < (fresh / "model.safetensors").stat().st_size / 2


def test_where_the_folder_cannot_be_written_it_lies_in_radllamas_home(
    fresh: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    real = os.access
    # not by its mode: for root, who runs the tests in many a container, every folder can be written
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != fresh and real(path, mode))
    folder = converted_folder(str(fresh), "float32")
    assert folder.parent == home / "converted"
    assert not (fresh / "ctranslate2-float32").exists()
    capfd.readouterr()
    assert converted_folder(str(fresh), "float32") == folder
    assert capfd.readouterr().err == ""


def test_nothing_is_written_into_the_package(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[Path] = []

    def stop(_name: str, _precision: str, _source: str, out: Path) -> None:
        places.append(out)
        raise KeyboardInterrupt

    monkeypatch.setattr(convert_module, "convert", stop)
    monkeypatch.setattr(convert_module, "is_whole", lambda *_: False)
    with pytest.raises(KeyboardInterrupt):
        converted_folder(EMBEDDED, "int8")
    assert [place.parent for place in places] == [home / "converted"]


# Never trusted after a change


def spoil_byte(folder: Path) -> None:
    with (folder / "model.bin").open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        byte = file.read(1)
        file.seek(-100, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))


def cut(folder: Path) -> None:
    os.truncate(folder / "model.bin", 1000)


def lose_file(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def lose_manifest(folder: Path) -> None:
    (folder / MANIFEST_FILE).unlink()


def tear_manifest(folder: Path) -> None:
    os.truncate(folder / MANIFEST_FILE, 30)


def other_version(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST_FILE).read_text()) | {"new": 1}
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))


@pytest.mark.parametrize("spoil", [spoil_byte, cut, lose_file, lose_manifest, tear_manifest, other_version])
def test_a_spoilt_conversion_is_seen(model: Path, spoil: Any) -> None:
    folder, source = model / "ctranslate2-float32", hash_source(model)
    assert is_whole(folder, source)
    spoil(folder)
    assert not is_whole(folder, source)


def test_a_spoilt_conversion_is_made_again(model: Path) -> None:
    before = (model / "ctranslate2-float32" / "model.bin").read_bytes()
    spoil_byte(model / "ctranslate2-float32")
    assert (converted_folder(str(model), "float32") / "model.bin").read_bytes() == before


def test_other_weights_are_converted_anew(model: Path) -> None:
    before = read_manifest(model / "ctranslate2-float32")
    nudge_weights(model)
    after = read_manifest(converted_folder(str(model), "float32"))
    assert (after.source, after.fingerprint) != (before.source, before.fingerprint)
    assert load_drafter(str(model), engine="ctranslate2").name == load_model(str(model), "cpu").name


def test_any_tensor_and_any_setting_changes_the_hash_of_a_model(fresh: Path) -> None:
    seen = {hash_source(fresh)}
    weights = fresh / "model.safetensors"
    header = 8 + int.from_bytes(weights.read_bytes()[:8], "little")
    tensors = json.loads(weights.read_bytes()[8:header])
    tensors.pop("__metadata__", None)
    for tensor in tensors.values():
        with weights.open("r+b") as file:
            file.seek(header + tensor["data_offsets"][0] + 1)
            file.write(b"\xaa")
        seen.add(hash_source(fresh))
    for name in ("config.json", "tokenizer.json"):
        with (fresh / name).open("a") as file:
            file.write("\n")
        seen.add(hash_source(fresh))
    assert len(seen) == 1 + len(tensors) + 2


def test_what_is_no_part_of_a_model_does_not_change_its_hash(fresh: Path) -> None:
    before = hash_source(fresh)
    for name in ("run.json", "prompt.json", "vocabulary.json", "notes.txt"):
        (fresh / name).write_text("{}")
    assert hash_source(fresh) == before


def test_the_prompt_is_read_from_the_model_and_not_converted(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_prompt(make_prompt("plain", indication=True), model)
    assert load_drafter(str(model), engine="ctranslate2").prompt.indication
    assert "converting" not in capfd.readouterr().err


def test_weights_that_are_no_safetensors_are_one_line(fresh: Path) -> None:
    for content in (b"", b"abc", b"\x08" + bytes(7) + b"[1, 2, 3", b"\xff" * 40):
        (fresh / "model.safetensors").write_bytes(content)
        with pytest.raises(InputError, match=r"model\.safetensors: not a safetensors file"):
            hash_source(fresh)


# Adapters


@pytest.fixture
def adapter(model: Path, tmp_path: Path) -> Path:
    """A LoRA over the model that changes its drafts."""
    network, tokenizer = load_base(str(model))
    network = add_adapter(network, 4, 8.0, 0.0, ["q_proj", "v_proj"], seed=0)
    torch.manual_seed(1)
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    save_model(network, tokenizer, make_prompt("plain"), tmp_path / "adapter")
    return tmp_path / "adapter"


def test_an_adapter_is_merged_and_drafts_as_it_does_in_transformers(
    adapter: Path, model: Path, reports: list[Report]
) -> None:
    exact, reference = (load_drafter(str(adapter), engine=engine) for engine in ("ctranslate2", "transformers"))
    base = load_drafter(str(model), engine="transformers")
    drafts = [[each.draft(one.findings, "", SHORT) for one in reports] for each in (exact, reference, base)]
    assert drafts[0] == drafts[1]
    assert drafts[1] != drafts[2]
    assert exact.name == reference.name
    assert "merged" not in names(adapter / "ctranslate2-float32")


def test_another_base_below_an_adapter_is_a_change(adapter: Path, model: Path) -> None:
    before = hash_source(adapter)
    nudge_weights(model)
    assert hash_source(adapter) != before


# Whole or not at all


@pytest.mark.parametrize("part", ["_write_merged", "_convert_folder", "_count_near_ties", "write_manifest"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=["stop", "full"])
def test_a_conversion_that_breaks_leaves_nothing(
    fresh: Path, part: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    before = names(fresh)
    monkeypatch.setattr(convert_module, part, fail)
    monkeypatch.setattr(convert_module, "CHECKED_PROMPTS", 3)
    with pytest.raises(type(error)):
        converted_folder(str(fresh), "float32")
    assert names(fresh) == before


def test_a_spoilt_conversion_stays_until_the_new_one_is_whole(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    spoil_byte(model / "ctranslate2-float32")
    before = hash_files(model / "ctranslate2-float32")
    monkeypatch.setattr(convert_module, "_write_merged", fail)
    with pytest.raises(KeyboardInterrupt):
        converted_folder(str(model), "float32")
    assert hash_files(model / "ctranslate2-float32") == before


def test_what_a_killed_conversion_left_is_removed_and_what_a_living_one_writes_is_not(fresh: Path) -> None:
    dead, living = (fresh / f".ctranslate2-float32.{pid}.aside" for pid in (2**22 + 1, os.getppid()))
    for folder in (dead, living):
        folder.mkdir()
        (folder / "model.bin").write_bytes(b"half")
    converted_folder(str(fresh), "float32")
    assert not dead.exists()
    assert living.exists()


def test_a_model_that_drafts_otherwise_when_converted_is_refused(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = convert_module._write_merged

    def write_another(name: str, model: Any, folder: Path) -> None:
        with torch.no_grad():
            model.network.model.layers[0].mlp.up_proj.weight.mul_(-1)
        write(name, model, folder)

    monkeypatch.setattr(convert_module, "_write_merged", write_another)
    with pytest.raises(InputError, match=r"it drafts \d+ of 100 prompts otherwise than transformers does; use"):
        converted_folder(str(fresh), "float32")
    assert not (fresh / "ctranslate2-float32").exists()


# What cannot be converted


def test_an_architecture_that_ctranslate2_does_not_know_is_one_line(fresh: Path) -> None:
    from transformers import MambaConfig, MambaForCausalLM

    for path in [*fresh.glob("*.safetensors"), fresh / "config.json"]:
        path.unlink()
    size = len(load_base_tokenizer(fresh))
    config = MambaConfig(vocab_size=size, hidden_size=8, state_size=2, num_hidden_layers=1)
    MambaForCausalLM(config).save_pretrained(fresh)
    before = names(fresh)
    with pytest.raises(InputError, match=r"ctranslate2 cannot run this architecture \(.*\); use --engine") as told:
        converted_folder(str(fresh), "int8")
    assert "\n" not in str(told.value)
    assert names(fresh) == before


def load_base_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_a_context_without_room_for_the_check_is_one_line(fresh: Path) -> None:
    config = json.loads((fresh / "config.json").read_text())
    (fresh / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 70}))
    with pytest.raises(InputError, match="its context is too short to check a conversion on"):
        converted_folder(str(fresh), "float32")


def test_a_name_on_the_hub_is_told_how_to_become_a_folder() -> None:
    with pytest.raises(InputError, match=r"needs the model in a folder \(hf download some/model --local-dir FOLDER\)"):
        converted_folder("some/model", "int8")


# Choosing an engine


def test_the_embedded_model_lies_converted_in_the_package_and_is_drafted_so_by_default() -> None:
    folder = model_folder(EMBEDDED)
    assert folder is not None
    assert is_whole(folder / "ctranslate2-int8", hash_source(folder))
    assert load_drafter().engine.name == "ctranslate2-int8"


def test_every_other_model_is_drafted_by_transformers_by_default(model: Path) -> None:
    assert load_drafter(str(model)).engine.name == "transformers"


@pytest.mark.parametrize(
    ("engine", "device", "told"),
    [
        ("vllm", "auto", "--engine vllm: there is no such engine; choose one of transformers, ctranslate2, "),
        ("ctranslate2", "cuda", "--engine ctranslate2 runs on the CPU; for --device cuda use --engine transformers"),
    ],
)
def test_an_engine_that_cannot_be_is_one_line(engine: str, device: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        load_drafter(EMBEDDED, device, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_is_drafted_to_the_same_bytes_at_any_batch_size(
    model: Path, engine: str, reports: list[Report], tmp_path: Path
) -> None:
    path = tmp_path / "reports.jsonl"
    write_jsonl(path, (report.to_json() for report in reports))
    drafter = load_drafter(str(model), engine=engine)
    written = []
    for size in (1, 7, 64, None):
        draft_file(drafter, path, tmp_path / f"{size}.jsonl", size, SHORT)
        written.append((tmp_path / f"{size}.jsonl").read_bytes())
    assert len(set(written)) == 1
