"""Cassettes: what was answered once is found again, torn ends are healed, and nothing else is touched."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from radllama.engines.cassette import Cassette, hash_request
from radllama.errors import InputError


def request(text: str = "Clear lungs.", **changes: Any) -> dict[str, Any]:
    fields = {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 8, "temperature": 0.0}
    return fields | changes


def response(text: str) -> dict[str, Any]:
    return {"choices": [{"message": {"content": text}}]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A cassette of two answers."""
    cassette = Cassette(tmp_path / "c.jsonl")
    cassette.add(request("one"), response("1"))
    cassette.add(request("two"), response("2"))
    return cassette.path


def test_an_answer_is_found_again_by_another_process(path: Path) -> None:
    cassette = Cassette(path)
    assert len(cassette) == 2
    assert cassette.find(request("two")) == response("2")
    assert cassette.find(request("three")) is None


@pytest.mark.parametrize("change", [{"model": "n"}, {"max_tokens": 9}, {"temperature": 0.5}, {"seed": 1}])
def test_another_model_or_sampling_is_another_request(path: Path, change: dict[str, Any]) -> None:
    assert Cassette(path).find(request("one", **change)) is None


def test_the_order_of_the_fields_does_not_matter() -> None:
    assert hash_request(request()) == hash_request(dict(reversed(request().items())))


def test_the_first_answer_stays(path: Path) -> None:
    cassette = Cassette(path)
    before = path.read_bytes()
    cassette.add(request("one"), response("another"))
    assert cassette.find(request("one")) == response("1")
    assert path.read_bytes() == before


def test_only_the_owner_can_read_it(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    Cassette(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_written_before_there_is_an_answer(tmp_path: Path) -> None:
    cassette = Cassette(tmp_path / "new" / "c.jsonl")
    assert not cassette.path.parent.exists()
    cassette.add(request(), response("1"))
    assert len(Cassette(cassette.path)) == 1


def test_answers_of_many_threads_are_whole_lines(tmp_path: Path) -> None:
    cassette = Cassette(tmp_path / "c.jsonl")
    numbers = range(40)
    threads = [
        threading.Thread(target=cassette.add, args=(request(str(n // 2)), response(f"{n // 2} " * 2_000)))
        for n in numbers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = Cassette(cassette.path)
    assert len(again) == 20
    assert all(again.find(request(str(n // 2))) == response(f"{n // 2} " * 2_000) for n in numbers)
    assert len(cassette.path.read_bytes().splitlines()) == 20


@pytest.mark.parametrize("cut", [1, 9, 60, 100])
def test_a_torn_end_is_cut_off_and_asked_again(path: Path, cut: int) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:-cut])
    cassette = Cassette(path)
    assert cassette.find(request("one")) == response("1")
    assert cassette.find(request("two")) is None
    cassette.add(request("two"), response("2"))
    assert path.read_bytes() == raw


@pytest.mark.parametrize("kept", [1, 5, 30])
def test_a_torn_first_line_begins_anew(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    assert len(Cassette(path)) == 0
    assert path.read_bytes() == b""


@pytest.mark.parametrize("content", ["my notes", '{"a": 1}', '{"a": 1}\n', "my notes\n", "[1]\n", '{"request": 1}\n'])
def test_a_file_that_is_no_cassette_is_refused_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes"
    path.write_text(content)
    path.chmod(0o644)
    with pytest.raises(InputError, match=r"notes.*not a .*cassette"):
        Cassette(path)
    assert path.read_text() == content
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_line_that_was_changed_is_told(path: Path) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["request"]["model"] = "a better one"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match=r"c\.jsonl:2: its key does not fit its request"):
        Cassette(path)


def test_why_something_is_missing_is_told_in_names_alone(path: Path, tmp_path: Path) -> None:
    cassette = Cassette(path)
    assert cassette.why_missing(request("canary")) == "the prompt is none of those recorded"
    assert cassette.why_missing(request("one", model="n", seed=3)) == "recorded with another model, seed"
    cassette.add(request("one", model="n"), response("1"))
    assert cassette.why_missing(request("one", model="n", seed=3)) == "recorded with another seed"
    assert Cassette(tmp_path / "none.jsonl").why_missing(request()) == "nothing is recorded in it"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file") as error:
        Cassette(tmp_path / "file" / "c.jsonl").add(request(), response("1"))
    assert error.value.filename
