"""Conversion: made once, checked, kept whole or not at all, and never trusted after a change."""

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from radllama.drafting.draft import draft_file
from radllama.drafting.load import load_drafter
from radllama.engines import ENGINES, Sampling
from radllama.engines import convert as convert_module
from radllama.engines.convert import converted_folder
from radllama.engines.manifest import MANIFEST_FILE, Source, hash_files, read_manifest
from radllama.engines.place import CONVERTED_PINS, Place, find_places
from radllama.engines.source import hash_source, read_source
from radllama.errors import InputError
from radllama.files import hash_file, read_json, write_json, write_jsonl
from radllama.model import EMBEDDED, add_adapter, load_base, load_model, model_folder, save_model
from radllama.prompt import make_prompt, write_prompt
from radllama.report import Report
from radllama.weights import BASE_PINS, PINS, digest_hashes, digest_weights, hash_weights

SHORT = Sampling(max_new_tokens=12)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RADLLAMA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def done(lively_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lively model as a run, with its float32 form in its folder."""
    folder = tmp_path_factory.mktemp("done") / "model"
    shutil.copytree(lively_base, folder, ignore=shutil.ignore_patterns("ctranslate2-*"))
    write_json(folder / "run.json", {"command": "train", "settings": {}})
    converted_folder(str(folder), "float32")
    return folder


@pytest.fixture
def model(done: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(done, tmp_path / "model"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversions that are checked on few prompts."""
    monkeypatch.setattr(convert_module, "CHECKED_PROMPTS", 3)


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
    assert manifest.source == read_source(model)
    assert (manifest.source.files, manifest.source.weights) == (hash_source(model), digest_weights(model))
    assert (manifest.checked, manifest.equal + manifest.near_ties) == (100, 100)
    assert (manifest.precision, manifest.ends, manifest.context_tokens) == ("float32", ["</s>"], 256)
    assert manifest.files == hash_files(folder)
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

    def stop(_name: str, _precision: str, _source: Source, out: Path) -> None:
        places.append(out)
        raise KeyboardInterrupt

    monkeypatch.setattr(convert_module, "convert", stop)
    monkeypatch.setattr(Place, "holds", lambda *_: False)
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


def add_file(folder: Path) -> None:
    (folder / "vocabulary.txt").write_text("a\nb\n")


def add_folder(folder: Path) -> None:
    (folder / "more").mkdir()


def tell(folder: Path, **facts: Any) -> None:
    """Have the manifest say otherwise."""
    write_json(folder / MANIFEST_FILE, read_json(folder / MANIFEST_FILE) | facts)


def list_nothing(folder: Path) -> None:
    tell(folder, files={})


def list_fewer(folder: Path) -> None:
    files = hash_files(folder)
    files.pop("model.bin")
    tell(folder, files=files)


def swap_both(folder: Path) -> None:
    spoil_byte(folder)
    tell(folder, files=hash_files(folder))


def vouch_without_files(folder: Path) -> None:
    """Nothing but a manifest that lists nothing, and a run file that was made to pin it."""
    for path in folder.iterdir():
        if path.name != MANIFEST_FILE:
            path.unlink()
    list_nothing(folder)
    place_of(folder.parent).pin(folder / MANIFEST_FILE)


def place_of(model: Path) -> Place:
    return find_places(model, read_source(model), "float32")[0]


@pytest.mark.parametrize(
    ("alter", "named"),
    [
        (spoil_byte, "model.bin"),
        (cut, "model.bin"),
        (lose_file, "tokenizer.json"),
        (add_file, "vocabulary.txt"),
        (add_folder, "more"),
        (list_nothing, MANIFEST_FILE),
        (list_fewer, MANIFEST_FILE),
        (swap_both, MANIFEST_FILE),
        (vouch_without_files, MANIFEST_FILE),
    ],
)
def test_an_altered_conversion_is_one_line_and_never_used(model: Path, alter: Any, named: str) -> None:
    folder = model / "ctranslate2-float32"
    assert place_of(model).holds(read_source(model))
    alter(folder)
    with pytest.raises(InputError) as told:
        load_drafter(str(model), engine="ctranslate2")
    assert str(told.value) == (
        f"{folder / named}: not what was converted (its SHA-256 is not the one that {model / 'run.json'} pins); "
        f"remove {folder}, and the model is converted again"
    )


@pytest.mark.usefixtures("quick")
def test_what_was_altered_is_made_again_once_it_is_removed(model: Path) -> None:
    folder = model / "ctranslate2-float32"
    before = (folder / "model.bin").read_bytes()
    spoil_byte(folder)
    shutil.rmtree(folder)
    assert (converted_folder(str(model), "float32") / "model.bin").read_bytes() == before
    assert place_of(model).holds(read_source(model))


def lose_manifest(folder: Path) -> None:
    (folder / MANIFEST_FILE).unlink()


def tear_manifest(folder: Path) -> None:
    os.truncate(folder / MANIFEST_FILE, 30)


def other_version(folder: Path) -> None:
    tell(folder, new=1)


def version_before_pins(folder: Path) -> None:
    tell(folder, source=hash_source(folder.parent))


def of_other_weights(folder: Path) -> None:
    tell(folder, source=asdict(replace(read_source(folder.parent), weights="0" * 64)))


def unpin(folder: Path) -> None:
    write_json(folder.parent / "run.json", {"command": "train", "settings": {}})


@pytest.mark.parametrize(
    "spoil", [lose_manifest, tear_manifest, other_version, version_before_pins, of_other_weights, unpin]
)
def test_what_cannot_be_told_from_a_stale_conversion_is_not_used(model: Path, spoil: Any) -> None:
    spoil(model / "ctranslate2-float32")
    assert not place_of(model).holds(read_source(model))


@pytest.mark.usefixtures("quick")
def test_the_run_file_pins_the_manifest_beside_all_that_it_says(model: Path) -> None:
    manifest = model / "ctranslate2-float32" / MANIFEST_FILE
    pins = {"ctranslate2-float32": hash_file(manifest)}
    assert read_json(model / "run.json") == {"command": "train", "settings": {}, CONVERTED_PINS: pins}
    converted_folder(str(model), "int8")
    assert read_json(model / "run.json")[CONVERTED_PINS].keys() == {"ctranslate2-float32", "ctranslate2-int8"}


@pytest.mark.usefixtures("quick")
def test_a_model_without_a_run_file_is_pinned_in_radllamas_home(
    fresh: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (fresh / "run.json").unlink()
    folder = converted_folder(str(fresh), "float32")
    pins = read_json(home / "converted" / "pins.json")
    assert pins == {CONVERTED_PINS: {str(folder): hash_file(folder / MANIFEST_FILE)}}
    assert not (fresh / "run.json").exists()
    swap_both(folder)
    with pytest.raises(InputError, match=r"pins\.json pins\); remove"):
        converted_folder(str(fresh), "float32")
    capfd.readouterr()
    monkeypatch.setenv("RADLLAMA_HOME", str(home.with_name("another")))
    converted_folder(str(fresh), "float32")
    assert f"{folder}: of other weights, of another version, or not pinned in " in capfd.readouterr().err


@pytest.mark.usefixtures("quick")
def test_a_run_that_pins_other_weights_now_is_converted_anew(model: Path) -> None:
    """Whatever the heads of its tensors say: the middle of one is enough."""
    before = read_manifest(converted_folder(str(model), "float32")).source
    raw = bytearray((model / "model.safetensors").read_bytes())
    raw[-4000] ^= 1
    (model / "model.safetensors").write_bytes(raw)
    write_json(model / "run.json", read_json(model / "run.json") | {PINS: hash_weights(model)})
    after = read_manifest(converted_folder(str(model), "float32")).source
    assert (after.files == before.files, after.weights == before.weights) == (True, False)
    assert after.weights == digest_weights(model)


@pytest.mark.usefixtures("quick")
def test_a_conversion_that_cannot_be_pinned_is_none(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Place, "pin", fail)
    with pytest.raises(OSError, match="No space"):
        converted_folder(str(fresh), "float32")
    assert not (fresh / "ctranslate2-float32").exists()


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
    before = read_source(adapter)
    assert before.base_weights == digest_weights(model)
    nudge_weights(model)
    after = read_source(adapter)
    assert (after.files == before.files, after.base_weights == before.base_weights) == (False, False)
    assert after.weights == before.weights


def test_the_base_is_the_one_that_the_adapters_run_file_pins(adapter: Path, model: Path) -> None:
    pins = {"model.safetensors": "0" * 64}
    write_json(adapter / "run.json", {"settings": {"base": str(model)}, BASE_PINS: pins})
    assert read_source(adapter).base_weights == digest_hashes(pins)


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


def test_a_stale_conversion_stays_until_the_new_one_is_whole(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    of_other_weights(model / "ctranslate2-float32")
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
    source = read_source(folder)
    beside, _ = find_places(folder, source, "int8")
    assert (beside.folder, beside.pins) == (folder / "ctranslate2-int8", folder / "run.json")
    assert beside.holds(source)
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
