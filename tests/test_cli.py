"""The command line: every verb end to end, results alone on stdout, every mistake one line and exit code 2."""

import gzip
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import CANARY, Done, Run
from departments import make_department
from processes import Signal, start

import radllama
from radllama.cli import main
from radllama.files import read_json, read_jsonl, write_jsonl
from radllama.model import load_base, save_model
from radllama.prompt import make_prompt
from radllama.report import Report


def main_in_a_process(folder: Path, arguments: list[str], file_limit: int | None = None) -> None:
    os.chdir(folder)
    if file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    sys.stdout = (folder / "stdout").open("w", encoding="utf-8")
    sys.argv = ["radllama", *arguments]
    main()


@pytest.fixture(scope="module")
def base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base as a model folder of ours, with the plain prompt."""
    folder = tmp_path_factory.mktemp("base") / "tiny"
    network, tokenizer = load_base(str(tiny_base))
    save_model(network, tokenizer, make_prompt("plain"), folder)
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, reports: list[Report]) -> Path:
    """The shared reports as a JSONL table, each with the canary in its findings."""
    path = tmp_path_factory.mktemp("table") / "reports.jsonl"
    write_jsonl(path, (r.to_json() | {"findings": f"{r.findings} A {CANARY} is seen."} for r in reports))
    return path


def write_recipe(folder: Path, base: Path, **changes: Any) -> Path:
    values = {
        "base": str(base),
        "prompt": {"template": "plain"},
        "lora": {"rank": 2},
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 0.02,
        "valid_drafts": 1,
        "tracker": "none",
        "precision": "fp32",
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(values | changes))
    return path


# The road from a hospital's archive to its scores


def test_every_verb_from_sample_to_scores(run: Run, base: Path, tmp_path: Path) -> None:
    done = run("data", "sample", "--out", tmp_path / "hospital", "--reports", 60)
    assert (done.code, done.out) == (0, f"{tmp_path / 'hospital' / 'reports.csv'}\n")

    columns = ["--map", "accession=id", "--map", "mrn=patient_id", "--map", "report=report"]
    source = ["--source", "table", "--path", tmp_path / "hospital" / "reports.csv"]
    done = run("data", "build", *source, *columns, "--split", "random:0", "--out", tmp_path / "data")
    assert done.code == 0
    assert done.out.startswith("table, split random:0: 60 reports read\n")
    assert read_json(tmp_path / "data" / "dataset.json")["read"] == 60

    recipe = write_recipe(tmp_path, base)
    train = ["train", recipe, "epochs=1", "--data", tmp_path / "data", "--out", tmp_path / "run"]
    done = run(*train)
    assert (done.code, done.out) == (0, f"{tmp_path / 'run'}\n")
    assert "validation loss" in done.err
    assert read_json(tmp_path / "run" / "run.json")["settings"]["epochs"] == 1
    done = run(*train, "--resume")
    assert (done.code, done.out) == (0, f"{tmp_path / 'run'}\n")

    model = ["--model", tmp_path / "run", "--max-new-tokens", 5]
    done = run("draft", *model, "--findings", f"The lungs are clear. {CANARY}.", "--indication", "Cough.")
    assert done.code == 0
    assert done.out.count("\n") == 1
    assert "the draft was ended after 5 tokens" in done.err

    drafts = tmp_path / "drafts.jsonl"
    done = run("draft", *model, "--in", tmp_path / "data" / "test.jsonl", "--out", drafts)
    assert (done.code, done.out) == (0, f"{drafts}\n")
    test_ids = [row["id"] for _, row in read_jsonl(tmp_path / "data" / "test.jsonl")]
    assert [row["id"] for _, row in read_jsonl(drafts)] == test_ids

    done = run("evaluate", "--drafts", drafts, "--train", tmp_path / "data", "--out", tmp_path / "scores")
    assert done.code == 0
    assert "constant" in done.out
    assert "nearest" in done.out
    assert (tmp_path / "scores" / "report.html").exists()
    assert read_json(tmp_path / "scores" / "scores.json")["overall"]


def test_refused_reports_of_a_file_are_told_by_count(run: Run, base: Path, tmp_path: Path) -> None:
    findings = [f"Clear lungs. {CANARY}.", "", f"{CANARY} lung " * 5_000, "Normal.", f"Whisk the {CANARY} eggs."]
    write_jsonl(tmp_path / "r.jsonl", [{"id": str(i), "findings": text} for i, text in enumerate(findings)])
    done = run("draft", "--model", base, "--in", tmp_path / "r.jsonl", "--out", tmp_path / "d.jsonl")
    assert done.code == 0
    assert "empty drafts: 1 (the findings hold no words)" in done.err
    assert "empty drafts: 1 (the findings are longer than the model's context)" in done.err
    assert "empty drafts: 1 (the findings are a single word)" in done.err
    assert "empty drafts: 1 (the findings are unlike the reports that the model was tuned on)" in done.err
    assert all(row["flags"] == [] for _, row in read_jsonl(tmp_path / "d.jsonl") if not row["draft"])


def test_flags_of_one_draft_and_of_a_file_are_told_beside_it(run: Run, base: Path, table: Path, tmp_path: Path) -> None:
    one = run("draft", "--model", base, "--findings", f"Large left pneumothorax. {CANARY}.")
    assert re.search(r"^(?:malformed|omitted): The draft .+\.$", one.err, re.MULTILINE)  # the base knows no words
    many = run("draft", "--model", base, "--in", table, "--out", tmp_path / "d.jsonl")
    told = many.err.strip().splitlines()[-1]
    kinds = [flag["kind"] for _, row in read_jsonl(tmp_path / "d.jsonl") for flag in row["flags"]]
    assert told.startswith("drafts with flags: ")
    assert all(f"{kind} " in told for kind in kinds)


def test_sampling_and_batches_are_passed_on(run: Run, base: Path, table: Path, tmp_path: Path) -> None:
    options = ["--temperature", "0.7", "--seed", 3, "--batch-size", 5, "--max-new-tokens", 4, "--device", "cpu"]
    assert run("draft", "--model", base, "--in", table, "--out", tmp_path / "d.jsonl", *options).code == 0
    settings = read_json(tmp_path / "d.run.json")["settings"]
    assert (settings["temperature"], settings["seed"], settings["batch_size"]) == (0.7, 3, 5)
    assert settings["max_new_tokens"] == 4


VERBS = ["", "data", "data fetch", "data build", "data sample", "train", "draft", "evaluate", "label"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(run: Run, verb: str) -> None:
    done = run(*verb.split(), "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: radllama {verb}".rstrip())
    assert done.err == ""


def test_the_console_script_is_installed_and_knows_its_version() -> None:
    script = Path(sys.executable).with_name("radllama")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{radllama.__version__}\n"
    assert done.stderr == ""


# What is wrong is told in one line


def mistake(done: Done) -> str:
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err.startswith("radllama: ")
    assert done.err.count("\n") == 1
    return done.err.strip().removeprefix("radllama: ")


def tar_with(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def zip_with(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
ROW = f'{{"id": "1", "findings": "{CANARY}", "impression": "Normal."}}\n'.encode()


@pytest.mark.parametrize(
    ("source", "name", "content"),
    [
        pytest.param("mimic-cxr", "r.zip", b"this is not a zip", id="not a zip"),
        pytest.param("openi", "r.tgz", gzip.compress(os.urandom(9000))[:4000], id="broken gzip"),
        pytest.param("openi", "r.tgz", tar_with("../../1.xml", b"<a/>"), id="path out of a tar"),
        pytest.param("mimic-cxr", "r.zip", zip_with("../../s1.txt", b"FINDINGS: a"), id="path out of a zip"),
        pytest.param("openi", "r.tgz", tar_with("ecgen-radiology/1.xml", BOMB), id="XML bomb"),
        pytest.param("table", "r.jsonl", ROW.replace(b"Normal", b"Gr\xf6\xdfer"), id="latin-1 bytes"),
        pytest.param("table", "r.jsonl", b"", id="empty JSONL"),
        pytest.param("table", "r.csv", b"", id="empty CSV"),
        pytest.param("openi", "r.csv", b"", id="empty OpenI CSV"),
        pytest.param("table", "r.csv", b"id,findings\n1,a\n", id="a column that is not there"),
        pytest.param("table", "r.jsonl", ROW + ROW, id="two reports with one id"),
        pytest.param("table", "r.jsonl", ROW[:-20], id="half a line"),
        pytest.param("table", "r.xlsx", b"PK", id="an ending that no reader knows"),
        pytest.param("nothing", "r.csv", b"id", id="no such source"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_line(
    run: Run, tmp_path: Path, source: str, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    mistake(run("data", "build", "--source", source, "--path", tmp_path / name, "--out", tmp_path / "data"))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_byte_order_mark_is_no_mistake(run: Run, table: Path, tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    build = ["data", "build", "--source", "table", "--path", tmp_path / "r.jsonl", "--out", tmp_path / "data"]
    assert run(*build).code == 0


@pytest.mark.parametrize("entry", ["findings", "=findings", "Befund="])
def test_a_map_that_maps_nothing_is_told(run: Run, table: Path, tmp_path: Path, entry: str) -> None:
    build = ["data", "build", "--source", "table", "--path", table, "--out", tmp_path / "d", "--map", entry]
    assert mistake(run(*build)) == f"--map {entry!r}: expected COLUMN=FIELD, as in Befund=findings"


def test_there_is_one_collection_to_fetch(run: Run, tmp_path: Path) -> None:
    assert "there is openi" in mistake(run("data", "fetch", "mimic-cxr", "--out", tmp_path))


def test_a_recipe_with_three_mistakes_names_all_three(run: Run, dataset: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, tmp_path / "base", learning_rate=-1, typo=3)
    told = mistake(run("train", recipe, "lora.rank=0", "--data", dataset, "--out", tmp_path / "run"))
    assert all(part in told for part in ("learning_rate: ", "typo: no such setting", "lora.rank: "))
    assert not (tmp_path / "run").exists()


def test_what_is_not_there_is_one_line(run: Run, dataset: Path, base: Path, tmp_path: Path) -> None:
    recipe, out = write_recipe(tmp_path, base), tmp_path / "run"
    gone = tmp_path / "gone"
    assert mistake(run("train", gone, "--data", dataset, "--out", out)).startswith(f"{gone}: no such recipe")
    assert mistake(run("train", recipe, "--data", gone, "--out", out)).startswith(f"{gone}: not a dataset")
    assert mistake(run("train", tmp_path, "--data", dataset, "--out", out)).startswith(str(tmp_path))
    assert mistake(run("draft", "--model", gone, "--findings", CANARY)) == f"{gone}: no such folder"
    assert mistake(run("draft", "--model", base, "--in", gone, "--out", out)) == f"{gone}: no such file"
    assert mistake(run("evaluate", "--drafts", gone, "--out", out)) == f"{gone}: no such file"
    assert not out.exists()


def test_a_model_that_is_nowhere_is_one_line(run: Run) -> None:
    told = mistake(run("draft", "--model", "some/model", "--findings", CANARY))
    assert told.startswith("model 'some/model' cannot be loaded: ")


@pytest.mark.parametrize("findings", [
    pytest.param("", id="empty"),
    pytest.param("...", id="about nothing"),
    pytest.param(f"{CANARY} lung " * 5_000, id="10,000 words"),
    pytest.param(CANARY, id="one word"),
    pytest.param(f"Whisk the {CANARY} eggs with butter.", id="a recipe"),
])  # fmt: skip
def test_findings_that_cannot_be_drafted_are_one_line(run: Run, base: Path, findings: str) -> None:
    assert mistake(run("draft", "--model", base, "--findings", findings)).startswith("the findings ")


def test_findings_of_another_encoding_are_one_line(run: Run, base: Path) -> None:
    findings = f"{CANARY} gr\xf6\xdfer".encode("latin-1").decode("utf-8", "surrogateescape")
    assert "not UTF-8" in mistake(run("draft", "--model", base, "--findings", findings))


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--findings", "Clear.", "--in", "r.jsonl", "--out", "d.jsonl"],
        ["--in", "r.jsonl"],
        ["--out", "d.jsonl"],
    ],
)
def test_draft_wants_one_text_or_two_files(run: Run, options: list[str]) -> None:
    assert mistake(run("draft", *options)).startswith("draft: give either --findings TEXT or both")


def test_an_adapter_for_another_base_is_one_line(run: Run, base: Path, table: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    assert run("data", "build", "--source", "table", "--path", table, "--out", data).code == 0
    own = tmp_path / "own"
    network, tokenizer = load_base(str(base))
    save_model(network, tokenizer, make_prompt("plain"), own)
    assert run("train", write_recipe(tmp_path, own, epochs=1, batch_size=64), "--data", data, "--out", out).code == 0
    network.model.layers[0].mlp.up_proj.weight.data.mul_(2)
    save_model(network, tokenizer, make_prompt("plain"), own)
    told = mistake(run("draft", "--model", out, "--findings", CANARY))
    assert told == f"{out}: this adapter was tuned on another model than the one now at {str(own)!r}"


def test_bugs_of_ours_keep_their_traceback(run: Run, monkeypatch: pytest.MonkeyPatch, table: Path) -> None:
    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("radllama.evaluation.evaluate.evaluate", fail)
    with pytest.raises(ZeroDivisionError):
        run("evaluate", "--drafts", table, "--out", "nowhere")


# Ctrl-C and a full disk lose nothing


STOPPED = "radllama: stopped; what was finished is kept, and the same command goes on (train: with --resume)"


def test_ctrl_c_in_a_training_ends_with_a_checkpoint_and_one_line(base: Path, dataset: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, base, epochs=6, evaluations=2)
    train = ["train", str(recipe), "--data", str(dataset), "--resume", "--out"]
    told, out = tmp_path / "told", tmp_path / "run"
    stopped = Signal(signal.SIGINT, out, "checkpoints/step-*")
    process = start(told, main_in_a_process, tmp_path, [*train, str(out)], sent=stopped)
    process.join()
    assert process.exitcode == 130
    lines = told.read_text().splitlines()
    assert "stopping after this step; press Ctrl-C again to stop at once" in lines
    assert lines[-1] == STOPPED
    assert "Traceback" not in told.read_text()
    assert len(list((out / "checkpoints").glob("step-*"))) == 1
    assert (tmp_path / "stdout").read_text() == ""
    for folder in (out, tmp_path / "undisturbed"):
        process = start(told, main_in_a_process, tmp_path, [*train, str(folder)])
        process.join()
        assert process.exitcode == 0, told.read_text()[-500:]
    name = "adapter_model.safetensors"
    assert (out / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_ctrl_c_in_a_batch_keeps_what_was_drafted(run: Run, base: Path, table: Path, tmp_path: Path) -> None:
    draft = ["draft", "--model", str(base), "--in", str(table), "--batch-size", "1", "--max-new-tokens", "40", "--out"]
    told, out = tmp_path / "told", tmp_path / "d.jsonl"
    partial = tmp_path / "d.jsonl.partial"
    stopped = Signal(signal.SIGINT, tmp_path, partial.name, lines=4)
    process = start(told, main_in_a_process, tmp_path, [*draft, str(out)], sent=stopped)
    process.join()
    assert process.exitcode == 130
    assert told.read_text().splitlines()[-1] == STOPPED
    assert "Traceback" not in told.read_text()
    assert CANARY not in told.read_text()
    assert partial.read_bytes().count(b"\n") > 3
    assert not out.exists()
    for path in (out, tmp_path / "undisturbed.jsonl"):
        assert run(*draft, path).code == 0
    assert out.read_bytes() == (tmp_path / "undisturbed.jsonl").read_bytes()


def test_a_full_disk_in_a_training_is_one_line_and_resume_goes_on(
    run: Run, base: Path, dataset: Path, tmp_path: Path
) -> None:
    train = ["train", str(write_recipe(tmp_path, base)), "--data", str(dataset), "--resume", "--out"]
    told, out = tmp_path / "told", tmp_path / "run"
    process = start(told, main_in_a_process, tmp_path, [*train, str(out)], 2_000)
    process.join()
    assert process.exitcode == 2
    last = told.read_text().splitlines()[-1]
    assert last.startswith(f"radllama: {out}")
    assert last.endswith("; what was finished before is kept")
    assert "Traceback" not in told.read_text()
    for folder in (out, tmp_path / "undisturbed"):
        assert run(*train, folder).code == 0
    name = "adapter_model.safetensors"
    assert (out / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_a_full_disk_in_a_batch_is_one_line_and_the_same_command_goes_on(
    run: Run, base: Path, table: Path, tmp_path: Path
) -> None:
    draft = ["draft", "--model", str(base), "--in", str(table), "--batch-size", "4", "--max-new-tokens", "5", "--out"]
    told, out = tmp_path / "told", tmp_path / "d.jsonl"
    process = start(told, main_in_a_process, tmp_path, [*draft, str(out)], 5_000)
    process.join()
    assert process.exitcode == 2
    last = told.read_text().splitlines()[-1]
    assert last.startswith(f"radllama: {out}.partial: ")
    assert "Traceback" not in told.read_text()
    assert CANARY not in told.read_text()
    for path in (out, tmp_path / "undisturbed.jsonl"):
        assert run(*draft, path).code == 0
    assert out.read_bytes() == (tmp_path / "undisturbed.jsonl").read_bytes()
    assert json.loads(out.read_text().splitlines()[0])["id"] == "1"


# A library of prior reports


def test_a_library_is_built_and_its_consensus_drafted(run: Run, dataset: Path, tmp_path: Path) -> None:
    library, drafts = tmp_path / "lib", tmp_path / "d.jsonl"
    built = run("library", "build", "--data", dataset, "--out", library)
    count = len((dataset / "train.jsonl").read_text().splitlines())
    assert (built.code, built.out) == (0, f"{library}: {count} reports\n")
    one = run("draft", "--library", library, "--consensus", 5, "--findings", "Large left pleural effusion.")
    assert (one.code, one.out) == (0, "Large left effusion.\n")
    done = run("draft", "--library", library, "--consensus", 5, "--in", dataset / "valid.jsonl", "--out", drafts)
    assert (done.code, done.out) == (0, f"{drafts}\n")
    assert all(row["neighbours"] for _, row in read_jsonl(drafts))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--consensus", "5", "--findings", CANARY], "--consensus asks prior reports; give their --library too"),
        (
            ["--library", "nowhere", "--consensus", "5", "--findings", CANARY],
            "nowhere: no such folder; build a library",
        ),
        (["--library", "LIB", "--consensus", "5", "--findings", "..."], "the findings hold no words"),
        (["--library", "LIB", "--consensus", "0", "--findings", CANARY], "greater than or equal to 1"),
        (["--library", "LIB", "--consensus", "5", "--in", "TRAIN", "--out", "OUT"], "stand in the library"),
    ],
)
def test_a_mistake_with_a_library_is_one_line(
    run: Run, dataset: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    run("library", "build", "--data", dataset, "--out", tmp_path / "lib")
    named = {"LIB": tmp_path / "lib", "TRAIN": dataset / "train.jsonl", "OUT": tmp_path / "d.jsonl"}
    done = run("draft", *(named.get(argument, argument) for argument in arguments))
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert not (tmp_path / "d.jsonl").exists()


def test_a_library_of_the_test_part_is_refused(run: Run, dataset: Path, tmp_path: Path) -> None:
    done = run("library", "build", "--data", dataset, "--out", tmp_path / "lib", "--parts", "train,test")
    assert (done.code, done.out) == (2, "")
    assert "--parts test: a library is built from train and valid" in done.err


def test_with_a_library_the_model_and_colleagues_vote(run: Run, tmp_path: Path) -> None:
    reports = make_department()
    write_jsonl(tmp_path / "train.jsonl", (report.to_json() for report in reports))
    run("library", "build", "--data", tmp_path, "--out", tmp_path / "lib")
    asked = ("draft", "--library", tmp_path / "lib", "--findings", "There is a large right pleural effusion.")
    done = run(*asked, "--samples", 2)
    assert (done.code, done.out) == (0, "Large right pleural effusion.\n")
    for setting in (("--no-checks", "--samples", 2), ("--beams", 2), ("--temperature", 0)):
        other = run(*asked, *setting)
        assert (other.code, other.out.count("\n")) == (0, 1)
        assert "effusion" in other.out
    wrong = run(*asked, "--samples", 2, "--temperature", 0)
    assert (wrong.code, wrong.out) == (2, "")
    assert "several samples need a temperature above 0" in wrong.err
