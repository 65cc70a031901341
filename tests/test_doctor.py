"""The doctor: a model that is well passes every check, and one broken in a single way fails that check."""

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from command import Run
from safetensors.torch import load_file, save_file
from servers import running

from radllama.doctor.doctor import CHECKS, examine, examine_one
from radllama.doctor.outcome import Outcome
from radllama.doctor.served import Served
from radllama.doctor.subject import Subject
from radllama.engines import convert as convert_module
from radllama.engines.convert import converted_folder
from radllama.engines.manifest import MANIFEST_FILE, hash_files, read_manifest
from radllama.engines.place import find_places
from radllama.files import write_json
from radllama.model import EMBEDDED, load_base, model_folder, save_model
from radllama.prompt import make_prompt
from radllama.recipe import Recipe
from radllama.server.assistant import load_assistant
from radllama.server.pool import Spec
from radllama.training.train import train

PROBES = 3


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADLLAMA_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base`, a copy of the embedded model, and `run`, an adapter that was trained on it for a few steps."""
    folder = tmp_path_factory.mktemp("trained")
    embedded = model_folder(EMBEDDED)
    assert embedded is not None
    shutil.copytree(embedded, folder / "base", ignore=shutil.ignore_patterns("ctranslate2*"))
    recipe = Recipe.model_validate(
        {
            "base": str(folder / "base"),
            "prompt": {"template": "plain"},
            "lora": {"rank": 4, "alpha": 8},
            "epochs": 1,
            "learning_rate": 0.003,
            "batch_size": 8,
            "valid_drafts": 1,
            "tracker": "none",
        }
    )
    train(recipe, dataset, folder / "run")
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A copy of both that a test may break; the adapter stands on the copied base."""
    folder = Path(shutil.copytree(trained, tmp_path / "copied"))
    run = json.loads((folder / "run" / "run.json").read_text())
    run["settings"]["base"] = str(folder / "base")
    write_json(folder / "run" / "run.json", run)
    return folder


def change(path: Path, **values: Any) -> None:
    write_json(path, json.loads(path.read_text()) | values)


def outcome_of(check: str, model: Path | str, served: Served | None = None) -> Outcome:
    return examine_one(check, Subject(str(model), PROBES, served=served))


def assert_fails(check: str, model: Path, told: str) -> None:
    one = outcome_of(check, model)
    assert (one.status, told in one.told) == ("fail", True), one
    assert one.todo


# A model that is well


def test_a_run_that_is_well_passes_everything_that_can_be_looked_at(trained: Path) -> None:
    outcomes = examine(Subject(str(trained / "run"), PROBES))
    skipped = {name: one.told for name, one in outcomes.items() if one.status == "skipped"}
    assert {name for name, one in outcomes.items() if one.status == "fail"} == set()
    assert skipped == {
        "converted": "no form for ctranslate2 of these weights; it is made and checked at first use",
        "served": "no --url of a server to compare with",
    }


def test_every_check_says_what_to_do_where_it_fails(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "/nowhere/base"}')
    for name, one in examine(Subject(str(tmp_path), PROBES)).items():
        assert one.status in ("fail", "skipped"), name
        assert bool(one.todo) == (one.status == "fail"), name


def test_the_command_prints_a_table_and_exits_0(trained: Path, run: Run) -> None:
    done = run("doctor", trained / "run", "--probes", "1")
    assert done.code == 0
    assert all(name in done.out for name in CHECKS)


def test_the_command_exits_1_when_a_check_fails_and_prints_json(copied: Path, run: Run) -> None:
    change(copied / "run" / "prompt.json", before="Befund: ")
    done = run("doctor", copied / "run", "--probes", "1", "--json")
    assert done.code == 1
    assert json.loads(done.out)["template"]["status"] == "fail"
    assert "1 of " in done.err


def test_a_name_that_is_no_model_is_a_mistake_and_no_diagnosis(run: Run) -> None:
    done = run("doctor", "./nowhere")
    assert done.code == 2
    assert "no such folder" in done.err


# Files


def test_a_443_byte_adapter_is_found_empty(copied: Path) -> None:
    path = copied / "run" / "adapter_model.safetensors"
    save_file({}, path, metadata={"format": "pt", "padding": "x" * 390})
    assert path.stat().st_size < 500
    assert_fails("adapter", copied / "run", "holds no tensor")


def test_an_adapter_that_learned_nothing_is_found(copied: Path) -> None:
    path = copied / "run" / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file({name: tensor * ("lora_B" not in name) for name, tensor in tensors.items()}, path)
    assert_fails("adapter", copied / "run", "leave the base as it is")


def test_an_adapter_on_another_base_of_the_same_shape_is_found(copied: Path) -> None:
    nudge(copied / "base")
    assert_fails("base", copied / "run", "is not the one that this adapter was tuned on")


def test_changed_weights_of_an_adapter_or_its_base_are_found(copied: Path) -> None:
    assert outcome_of("hashes", copied / "run").told == "the weights and those of the base, to the byte"
    for path in (copied / "run" / "adapter_model.safetensors", copied / "base" / "model.safetensors"):
        raw = path.read_bytes()
        path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
        assert_fails("hashes", copied / "run", "not the weights that were written")
        path.write_bytes(raw)


def test_weights_that_nothing_pins_are_not_called_well(copied: Path) -> None:
    (copied / "run" / "run.json").unlink()
    assert outcome_of("hashes", copied / "run").status == "skipped"


def test_an_edited_template_is_found(copied: Path) -> None:
    change(copied / "run" / "prompt.json", after="\n\nimpression:")
    assert_fails("template", copied / "run", "the template was edited")


def test_a_template_that_is_gone_is_found(copied: Path) -> None:
    (copied / "run" / "prompt.json").unlink()
    assert_fails("template", copied / "run", "the paper's template would be taken")


def test_a_template_without_its_findings_is_found(copied: Path) -> None:
    change(copied / "run" / "prompt.json", completion="no place for it")
    assert_fails("template", copied / "run", "leaves out the findings or the impression")


def test_an_unfinished_training_is_told_to_go_on(copied: Path) -> None:
    (copied / "run" / "run.json").rename(copied / "run" / "recipe.json")
    assert_fails("loads", copied / "run", "has not finished")


# Resuming


def test_a_record_that_went_back_is_found(copied: Path) -> None:
    change(copied / "run" / "run.json", history=[{"step": 4}, {"step": 2}, {"step": 4}])
    assert_fails("resume", copied / "run", "goes back")


def test_a_run_that_ended_before_its_last_step_is_found(copied: Path) -> None:
    change(copied / "run" / "run.json", step=2)
    assert_fails("resume", copied / "run", "ended after 2 steps of 4")


@pytest.fixture
def interrupted(copied: Path) -> Path:
    """A run with a checkpoint of one step, as a killed training leaves it."""
    run = copied / "run"
    (run / "run.json").rename(run / "recipe.json")
    step = run / "checkpoints" / "step-0000003"
    step.mkdir(parents=True)
    weights = {"layer.lora_A.weight": torch.ones(2), "layer.lora_B.weight": torch.ones(2)}
    save_file(weights, step / "trainable.safetensors")
    moments = {f"{i}.{name}": torch.tensor(3.0) for i in range(2) for name in ("step", "exp_avg", "exp_avg_sq")}
    save_file(moments, step / "optimizer.safetensors")
    write_json(step / "state.json", {"step": 3})
    return run


def test_a_checkpoint_that_would_go_on_passes(interrupted: Path) -> None:
    assert outcome_of("resume", interrupted).status == "pass"


@pytest.mark.parametrize(
    ("file", "tensors", "told"),
    [
        ("optimizer", {"0.step": torch.tensor(3.0)}, "remembers 1 of 2 weights"),
        ("optimizer", {f"{i}.step": torch.tensor(0.0) for i in range(2)}, "has taken 0 steps, the training 3"),
        ("trainable", {"a.lora_A": torch.ones(2), "a.lora_B": torch.zeros(2)}, "as it was before the first step"),
    ],
)
def test_a_checkpoint_that_would_begin_anew_is_found(
    interrupted: Path, file: str, tensors: dict[str, Any], told: str
) -> None:
    save_file(tensors, interrupted / "checkpoints" / "step-0000003" / f"{file}.safetensors")
    assert_fails("resume", interrupted, told)


def test_a_checkpoint_without_its_optimizer_is_found(interrupted: Path) -> None:
    (interrupted / "checkpoints" / "step-0000003" / "optimizer.safetensors").unlink()
    assert_fails("resume", interrupted, "missing or broken")


# Tokens


def test_padding_with_the_end_token_is_found(copied: Path) -> None:
    change(copied / "base" / "tokenizer_config.json", pad_token="</s>")
    assert_fails("end token", copied / "run", "padding and end are one token")


def test_a_begin_token_that_stands_twice_is_found(copied: Path) -> None:
    tokenizer = json.loads((copied / "base" / "tokenizer.json").read_text())
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}] * 2 + [{"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }
    write_json(copied / "base" / "tokenizer.json", tokenizer)
    assert_fails("special tokens", copied / "run", "stands twice at the start")


def test_a_context_that_the_network_has_not_is_found(copied: Path) -> None:
    run = json.loads((copied / "run" / "run.json").read_text())
    change(copied / "run" / "run.json", settings=run["settings"] | {"context_tokens": 4096})
    assert_fails("context", copied / "run", "trained on 4096 tokens")


# Drafts


def test_a_model_that_never_stops_is_found(lively_base: Path) -> None:
    assert_fails("drafts end", lively_base, "it never stops")


def test_an_adapter_that_does_not_survive_merging_is_found(copied: Path) -> None:
    run, path = copied / "run", copied / "run" / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if "q_proj.lora_B" in name)
    # Their product is beyond float32, though beside the base each step stays within it.
    for part, fill in (("lora_A", (0, slice(None))), ("lora_B", (slice(None), 0))):
        tensor = torch.zeros_like(tensors[name.replace("lora_B", part)])
        tensor[fill] = 1e19 if part == "lora_A" else 4e19
        tensors[name.replace("lora_B", part)] = tensor
    save_file(tensors, path)
    change(run / "adapter_config.json", lora_alpha=4e-38)
    base = copied / "base" / "model.safetensors"
    weights = load_file(base)
    layer = name.removeprefix("base_model.model.").split(".self_attn")[0]
    weights[f"{layer}.input_layernorm.weight"] *= 1e-6
    save_file(weights, base, metadata={"format": "pt"})
    for folder in (run, copied / "base"):  # they pin the weights that were there before
        (folder / "run.json").unlink()
    change(run / "adapter_config.json", base_model_name_or_path=str(copied / "base"))
    assert_fails("merged", run, "merged: ")


@pytest.fixture
def lively(lively_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small model that converts in no time."""
    monkeypatch.setattr(convert_module, "CHECKED_PROMPTS", 8)
    return Path(shutil.copytree(lively_base, tmp_path / "lively"))


def trust(converted: Path) -> None:
    """Have the manifest vouch for the files as they are now, and pin it."""
    change(converted / MANIFEST_FILE, files=hash_files(converted))
    manifest = read_manifest(converted)
    place, _ = find_places(converted.parent, manifest.source, manifest.precision)
    place.pin(converted / MANIFEST_FILE)


def test_a_conversion_of_other_weights_is_found(lively: Path) -> None:
    mine = converted_folder(str(lively), "float32")
    assert outcome_of("converted", lively).status == "pass"
    theirs = Path(shutil.copytree(lively, lively.with_name("theirs"), ignore=shutil.ignore_patterns("ctranslate2*")))
    nudge(theirs, by=1.0)
    shutil.copy(converted_folder(str(theirs), "float32") / "model.bin", mine / "model.bin")
    trust(mine)
    assert_fails("converted", lively, "greedy drafts are others")


def test_an_altered_conversion_is_found(lively: Path) -> None:
    mine = converted_folder(str(lively), "float32")
    (mine / "more.bin").write_bytes(b"")
    assert_fails("converted", lively, "more.bin: not what was converted")


def test_a_rounded_conversion_that_got_worse_is_found(tmp_path: Path) -> None:
    embedded = model_folder(EMBEDDED)
    assert embedded is not None
    mine = Path(shutil.copytree(embedded, tmp_path / "mini"))
    weights = bytearray((mine / "ctranslate2-int8" / "model.bin").read_bytes())
    embeddings = weights.index(b"decoder/embeddings/weight\0") + 200
    for at in range(embeddings, embeddings + 400_000, 3):
        weights[at] ^= 0x55
    (mine / "ctranslate2-int8" / "model.bin").write_bytes(weights)
    trust(mine / "ctranslate2-int8")
    one = examine_one("converted", Subject(str(mine), 6))
    made = read_manifest(embedded / "ctranslate2-int8").equal
    assert (one.status, f"of 6 drafts are the model's; when it was made, {made} of 100" in one.told) == ("fail", True)


def test_a_conversion_with_another_tokenizer_is_found(lively: Path) -> None:
    mine = converted_folder(str(lively), "float32")
    tokenizer = json.loads((mine / "tokenizer.json").read_text())
    write_json(mine / "tokenizer.json", tokenizer | {"normalizer": {"type": "Lowercase"}})
    trust(mine)
    assert_fails("prompt ids", lively, "reads a prompt as other tokens")


# Served


@pytest.fixture(scope="module")
def url(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server of the trained run."""
    with running(tmp_path_factory.mktemp("home"), Spec(load_assistant, (str(trained / "run"), "cpu"))) as server:
        yield server.url


def test_the_same_model_served_drafts_the_same(trained: Path, url: str) -> None:
    one = outcome_of("served", trained / "run", Served(url))
    assert (one.status, f"{PROBES} greedy drafts are equal" in one.told) == ("pass", True), one


def test_other_weights_at_the_server_are_found(copied: Path, url: str) -> None:
    # The base asked as the run is asked: only the weights differ.
    (copied / "base" / "selection.json").unlink()
    shutil.copy(copied / "run" / "prompt.json", copied / "base" / "prompt.json")
    one = outcome_of("served", copied / "base", Served(url + "/v1"))
    assert (one.status, "has other weights" in one.told) == ("fail", True), one


def test_another_template_at_the_server_is_found(copied: Path, url: str) -> None:
    change(copied / "run" / "prompt.json", after="\nimpression: ")
    one = outcome_of("served", copied / "run", Served(url))
    assert (one.status, "asks with the template plain@" in one.told) == ("fail", True), one


def test_a_name_that_the_server_does_not_list_is_told(trained: Path, url: str) -> None:
    one = outcome_of("served", trained / "run", Served(url, "another-name"))
    assert (one.status, "with --served-name; it lists run@" in one.told) == ("fail", True), one


def test_a_server_that_is_not_there_is_told(trained: Path) -> None:
    one = outcome_of("served", trained / "run", Served("http://127.0.0.1:9"))
    assert (one.status, "does not answer" in one.told) == ("fail", True), one


class _Other(BaseHTTPRequestHandler):
    """A server of another kind (OpenAI's paths and vLLM's /tokenize), whose model is another."""

    def do_GET(self) -> None:
        self._answer({"data": [{"id": "theirs"}]} if self.path == "/v1/models" else None)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {"text": "Something else.", "finish_reason": "stop"}
        known: dict[str, dict[str, Any]] = {"/v1/completions": {"choices": [choice]}, "/tokenize": {"tokens": [5, 6]}}
        self._answer(known.get(self.path))

    def _answer(self, value: dict[str, Any] | None) -> None:
        body = json.dumps(value).encode()
        self.send_response(404 if value is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_a_server_of_another_kind_that_differs_is_found(trained: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Other) as server:
        threading.Thread(target=server.serve_forever).start()
        outcomes = examine(
            Subject(str(trained / "run"), PROBES, served=Served(f"http://127.0.0.1:{server.server_port}"))
        )
        server.shutdown()
    assert outcomes["served"].status == "fail"
    assert f"{PROBES} of {PROBES} greedy drafts are others" in outcomes["served"].told
    assert "makes other token ids of a prompt" in outcomes["prompt ids"].told


def nudge(folder: Path, by: float = 0.05) -> None:
    """Change every weight of a model a little."""
    network, tokenizer = load_base(str(folder))
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * by * weight.abs().mean())
    save_model(network, tokenizer, make_prompt("plain"), folder)
    (folder / "run.json").unlink(missing_ok=True)  # it pins the weights that were there before
