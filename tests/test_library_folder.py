"""A library on disk: what is read is what was built, and nothing that was altered or half-written is."""

import json
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from radllama.errors import InputError
from radllama.files import write_jsonl
from radllama.library.folder import build_library, fingerprint, is_library, read_library
from radllama.library.index import WEIGHTINGS, Weighting
from radllama.report import Report, read_reports


@pytest.fixture
def folder(dataset: Path, tmp_path: Path) -> Path:
    build_library(dataset, tmp_path / "lib")
    return tmp_path / "lib"


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_library_that_was_read_finds_what_the_built_one_does(
    dataset: Path, tmp_path: Path, weighting: Weighting
) -> None:
    built = build_library(dataset, tmp_path / "lib", weighting=weighting)
    library = read_library(tmp_path / "lib")
    assert library.index.weighting == weighting
    queries = ["Small left pleural effusion.", "The lungs are clear.", "Tibia."]
    assert library.nearest_batch(queries, k=5) == built.nearest_batch(queries, k=5)


def test_the_train_part_alone_is_indexed_unless_others_are_asked_for(dataset: Path, tmp_path: Path) -> None:
    train, valid = (list(read_reports(dataset / f"{part}.jsonl")) for part in ("train", "valid"))
    assert build_library(dataset, tmp_path / "a").reports == train
    assert build_library(dataset, tmp_path / "b", ["train", "valid"]).reports == [*train, *valid]
    assert read_library(tmp_path / "b").reports == [*train, *valid]


def test_what_is_tested_is_never_indexed(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--parts test: a library is built from train and valid, never from"):
        build_library(dataset, tmp_path / "lib", ["train", "test"])
    assert not (tmp_path / "lib").exists()


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train.jsonl: no such part of a dataset"):
        build_library(tmp_path, tmp_path / "lib")


def test_one_id_in_two_parts_is_refused(tmp_path: Path, reports: list[Report]) -> None:
    for part in ("train", "valid"):
        write_jsonl(tmp_path / f"{part}.jsonl", [reports[0].to_json()])
    with pytest.raises(InputError, match=r"valid.jsonl: id '1' stands in train too"):
        build_library(tmp_path, tmp_path / "lib", ["train", "valid"])


def test_a_library_is_built_anew_in_its_place(dataset: Path, folder: Path) -> None:
    before = len(read_library(folder))
    build_library(dataset, folder, ["train", "valid"])
    assert len(read_library(folder)) > before


def test_a_folder_that_is_no_library_is_left_alone(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(InputError, match="is no library; choose another --out"):
        build_library(dataset, tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_the_reports_are_for_their_owner_alone(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    held = [path for path in folder.iterdir() if path.name != "run.json"]
    assert held
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in held)


def test_the_run_file_tells_counts_and_hashes_and_no_report(folder: Path) -> None:
    text = (folder / "run.json").read_text()
    run = json.loads(text)
    assert run["command"] == "library build"
    assert run["settings"]["parts"] == ["train"]
    assert run["reports"] == len(read_library(folder))
    assert set(run["sha256"]) == {path.name for path in folder.iterdir()} - {"run.json"}
    assert "effusion" not in text


def test_the_same_reports_make_the_same_fingerprint(dataset: Path, folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "other" / "lib"
    build_library(dataset, again)
    assert fingerprint(folder) == fingerprint(again)
    assert fingerprint(folder).startswith("lib@")
    build_library(dataset, again, ["train", "valid"])
    assert fingerprint(folder) != fingerprint(again)


def altered(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-3] + b"abc")


@pytest.mark.parametrize("name", ["reports.jsonl", "terms.txt", "index.npz", "habits.json"])
def test_a_file_that_was_altered_is_refused(folder: Path, name: str) -> None:
    altered(folder, name)
    with pytest.raises(InputError, match=f"{name}: not as it was written"):
        read_library(folder)
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name}: missing; build the library again"):
        read_library(folder)


def test_an_unfinished_library_is_refused(folder: Path) -> None:
    (folder / "run.json").unlink()
    assert not is_library(folder)
    with pytest.raises(InputError, match=r"no library \(or an unfinished one\)"):
        read_library(folder)


def test_a_folder_of_another_kind_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no library"):
        read_library(dataset)
    with pytest.raises(InputError, match="no such folder"):
        read_library(tmp_path / "nowhere")


def test_arrays_that_hold_objects_are_never_unpickled(folder: Path) -> None:
    run = json.loads((folder / "run.json").read_text())
    np.savez(folder / "index.npz", starts=np.array([{"a": 1}], dtype=object))
    from radllama.files import hash_file

    run["sha256"]["index.npz"] = hash_file(folder / "index.npz")
    (folder / "run.json").write_text(json.dumps(run))
    with pytest.raises(InputError, match="written by another version"):
        read_library(folder)


def test_a_library_can_be_moved(folder: Path, tmp_path: Path) -> None:
    moved = Path(shutil.move(folder, tmp_path / "elsewhere"))
    assert len(read_library(moved)) > 0
