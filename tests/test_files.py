import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from radllama.errors import InputError
from radllama.files import (
    hash_file,
    read_json,
    read_jsonl,
    write_aside,
    write_folder_aside,
    write_json,
    write_jsonl,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), write_aside(path) as file:
        file.write("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_failure_while_writing_leaves_the_old_folder_and_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), write_folder_aside(folder) as aside:
        (aside / "a").write_text("half")
        raise ZeroDivisionError
    assert (folder / "a").read_text() == "old"
    assert names(tmp_path) == ["d"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "stale").write_text("old")
    with write_folder_aside(folder) as aside:
        (aside / "new").write_text("new")
    assert names(folder) == ["new"]
    assert names(tmp_path) == ["d"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("old\n")
    program = (
        "import resource, pathlib, sys\n"
        "from radllama.files import write_jsonl\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"write_jsonl(pathlib.Path({str(path)!r}), ({{'n': n}} for n in range(10_000)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "OSError" in done.stderr
    assert path.read_text() == "old\n"
    assert names(tmp_path) == ["rows.jsonl"]


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": "1", "findings": "Grüße,\u2028“quoted”"}, {"id": "2", "n": None}]
    assert write_jsonl(tmp_path / "r.jsonl", rows) == 2
    assert [row for _, row in read_jsonl(tmp_path / "r.jsonl")] == rows


def test_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n{"a": 2}\r\n')
    assert list(read_jsonl(tmp_path / "r.jsonl")) == [(1, {"a": 1}), (3, {"a": 2})]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"findings": "secret', "not a line of JSON"),
        (b"[1, 2]", "expected a JSON object, found a list"),
        (b'{"findings": "secr\xe9t"}', "is not UTF-8"),
    ],
)
def test_a_bad_line_is_named_and_never_quoted(tmp_path: Path, line: bytes, told: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b"\n")
    with pytest.raises(InputError, match=told) as error:
        list(read_jsonl(path))
    assert str(error.value).startswith(f"{path}:2: ")
    assert "secr" not in str(error.value)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(read_jsonl(tmp_path / "r.jsonl"))
    with pytest.raises(InputError, match="is a folder"):
        list(read_jsonl(tmp_path))
    with pytest.raises(InputError, match="no such file"):
        read_json(tmp_path / "r.json")


def test_json_keeps_the_order_of_its_keys(tmp_path: Path) -> None:
    write_json(tmp_path / "v.json", {"b": 1, "a": "ü"})
    assert list(read_json(tmp_path / "v.json")) == ["b", "a"]
    assert "ü" in (tmp_path / "v.json").read_text(encoding="utf-8")
    (tmp_path / "v.json").write_text("{")
    with pytest.raises(InputError, match="not a JSON file"):
        read_json(tmp_path / "v.json")


def test_the_hash_is_sha256_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert hash_file(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_one_object_a_line(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "r.jsonl", [{"a": "x\ny"}, {"a": 2}])
    lines = (tmp_path / "r.jsonl").read_text().splitlines()
    assert [json.loads(line)["a"] for line in lines] == ["x\ny", 2]
