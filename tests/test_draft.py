"""Drafting: one or a file, in the file's order, and a kill changes not a byte."""

import json
import os
import random
import resource
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from processes import Signal, start

from radllama.drafting.draft import NO_FINDINGS, TOO_LONG, Drafter, draft_file
from radllama.drafting.load import load_drafter
from radllama.engines import Completion, Engine, Sampling
from radllama.errors import InputError
from radllama.files import hash_file, read_json, read_jsonl, write_jsonl
from radllama.prompt import make_prompt, write_prompt
from radllama.report import Report

SHORT = Sampling(max_new_tokens=8)


@pytest.fixture(scope="module")
def base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base with a prompt that leaves room in its context."""
    folder = Path(shutil.copytree(tiny_base, tmp_path_factory.mktemp("base") / "tiny"))
    write_prompt(make_prompt("plain", indication=True), folder)
    return folder


@pytest.fixture(scope="module")
def plain(base: Path) -> Drafter:
    return load_drafter(str(base), device="cpu")


@pytest.fixture
def reports_file(tmp_path: Path, reports: list[Report]) -> Path:
    write_jsonl(tmp_path / "reports.jsonl", (report.to_json() for report in reports))
    return tmp_path / "reports.jsonl"


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(path)]


# One


def test_one_draft_is_a_batch_of_one(plain: Drafter, reports: list[Report]) -> None:
    report = reports[0]
    one = plain.draft(report.findings, report.indication, SHORT)
    (batch,) = plain.draft_batches([report], SHORT)
    assert (batch[0].draft, batch[0].finish_reason) == (one.text, one.finish_reason)


class Wrapped(Engine):
    """The engine of a drafter, with an eye on what it is asked for."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seen: list[str] = []

    name = "wrapped"

    @property
    def context_tokens(self) -> int:
        return self.engine.context_tokens

    def count_tokens(self, prompt: str) -> int:
        return self.engine.count_tokens(prompt)

    def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[list[Completion]]:
        self.seen.extend(prompts)
        return self.engine.complete(prompts, sampling)

    def stream(self, prompt: str, sampling: Sampling) -> Iterator[str]:
        self.seen.append(prompt)
        return self.engine.stream(prompt, sampling)


def test_the_indication_reaches_the_model_when_its_prompt_shows_it(plain: Drafter) -> None:
    engine = Wrapped(plain.engine)
    drafter = Drafter(engine, plain.prompt, plain.name)
    drafter.draft("Clear lungs.", "Fever.", SHORT)
    list(drafter.draft_batches([Report("1", None, "Clear lungs.", "", "Fever.")], SHORT))
    list(drafter.stream("Clear lungs.", "Fever.", SHORT))
    assert engine.seen == [plain.prompt.render("Clear lungs.", "Fever.")] * 3
    assert "Fever." in engine.seen[0]


def test_a_streamed_draft_is_the_draft(plain: Drafter, reports: list[Report]) -> None:
    for report in reports[:5]:
        pieces = list(plain.stream(report.findings, "", SHORT))
        assert len(pieces) > 1
        assert "".join(pieces) == plain.draft(report.findings, "", SHORT).text


def test_a_draft_is_the_first_of_its_candidates(plain: Drafter) -> None:
    several = Sampling(8, 1.0, seed=3, samples=4)
    candidates = plain.candidates("Clear lungs.", "", several)
    assert len({candidate.text for candidate in candidates}) == 4
    assert plain.draft("Clear lungs.", "", Sampling(8, 1.0, seed=3)) == candidates[0]


@pytest.mark.parametrize("findings", ["", "  \n", "...", "--- !!"])
def test_findings_without_words_are_refused(plain: Drafter, findings: str) -> None:
    with pytest.raises(InputError, match="the findings hold no words"):
        plain.draft(findings, "Cough.", SHORT)


def test_findings_of_ten_thousand_words_are_refused_and_never_cut(plain: Drafter) -> None:
    with pytest.raises(InputError, match=r"context of 256 is exceeded; shorten them \(nothing is ever cut\)") as error:
        plain.draft("canary lung " * 5_000, "", SHORT)
    assert "canary" not in str(error.value)


def test_bytes_that_are_no_text_are_refused(plain: Drafter) -> None:
    findings = b"Kein Erguss, Herz gr\xf6\xdfer.".decode("utf-8", "surrogateescape")  # as the command line hands it
    with pytest.raises(InputError, match="bytes that are not UTF-8"):
        plain.draft(findings, "", SHORT)


def test_end_tokens_inside_findings_are_text_like_any_other(plain: Drafter) -> None:
    assert plain.engine.count_tokens("Clear. </s> Normal.") > plain.engine.count_tokens("Clear.  Normal.") + 1
    assert plain.draft("Clear. </s> Normal.", "", SHORT).finish_reason in ("stop", "length")


# A file


def test_drafts_stand_in_the_files_order_with_all_their_fields(
    plain: Drafter, reports_file: Path, reports: list[Report], tmp_path: Path
) -> None:
    counts = draft_file(plain, reports_file, tmp_path / "d.jsonl", 8, SHORT)
    drafts = rows(tmp_path / "d.jsonl")
    assert [row["id"] for row in drafts] == [report.id for report in reports]
    assert all(row["findings"] == report.findings for row, report in zip(drafts, reports, strict=True))
    assert all(row["reference"] == report.impression for row, report in zip(drafts, reports, strict=True))
    assert all(report.source for report in reports)
    keys = ["id", "findings", "reference", "draft", "model", "prompt", "seed", "finish_reason", "source", "flags"]
    assert all(list(row) == keys for row in drafts)
    assert {(row["model"], row["prompt"], row["seed"]) for row in drafts} == {(plain.name, plain.prompt.name, 0)}
    assert plain.name.startswith("tiny@")
    assert sum(counts.values()) == len(reports)


def test_a_file_gives_what_single_drafts_give(
    plain: Drafter, reports_file: Path, reports: list[Report], tmp_path: Path
) -> None:
    draft_file(plain, reports_file, tmp_path / "d.jsonl", 16, SHORT)
    single = [plain.draft(report.findings, report.indication, SHORT) for report in reports[:10]]
    assert [row["draft"] for row in rows(tmp_path / "d.jsonl")[:10]] == [completion.text for completion in single]


def test_the_run_file_says_how_it_was_drafted(plain: Drafter, reports_file: Path, tmp_path: Path) -> None:
    counts = draft_file(plain, reports_file, tmp_path / "d.jsonl", 8, SHORT)
    run = read_json(tmp_path / "d.run.json")
    assert run["command"] == "draft"
    assert run["settings"] == {
        "model": plain.name,
        "prompt": plain.prompt.name,
        "engine": "transformers",
        "reports_sha256": hash_file(reports_file),
        "batch_size": 8,
        "max_new_tokens": 8,
        "temperature": 0.0,
        "seed": 0,
        "samples": 1,
        "beams": 1,
    }
    assert run["drafts_sha256"] == hash_file(tmp_path / "d.jsonl")
    assert run["finish_reasons"] == dict(counts)
    assert not (tmp_path / "d.jsonl.partial").exists()


def test_an_unknown_reference_is_null(plain: Drafter, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "r.jsonl", [{"id": "a", "findings": "Clear lungs."}])
    draft_file(plain, tmp_path / "r.jsonl", tmp_path / "d.jsonl", 8, SHORT)
    assert rows(tmp_path / "d.jsonl")[0]["reference"] is None


def test_what_cannot_be_drafted_is_an_empty_draft_with_a_reason(plain: Drafter, tmp_path: Path) -> None:
    findings = ["Clear lungs.", "", "lung " * 10_000, "--", "Small effusion."]
    write_jsonl(tmp_path / "r.jsonl", [{"id": str(i), "findings": text} for i, text in enumerate(findings)])
    counts = draft_file(plain, tmp_path / "r.jsonl", tmp_path / "d.jsonl", 2, SHORT)
    drafts = rows(tmp_path / "d.jsonl")
    assert [row["finish_reason"] for row in drafts][1:4] == [NO_FINDINGS, TOO_LONG, NO_FINDINGS]
    assert [row["draft"] for row in drafts][1:4] == ["", "", ""]
    assert (counts[NO_FINDINGS], counts[TOO_LONG]) == (2, 1)
    assert counts["stop"] + counts["length"] == 2


def test_a_file_of_nothing_but_refusals_is_drafted_too(plain: Drafter, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "r.jsonl", [{"id": "a", "findings": ""}])
    assert draft_file(plain, tmp_path / "r.jsonl", tmp_path / "d.jsonl", 8, SHORT) == {NO_FINDINGS: 1}


def test_sampled_drafts_follow_from_the_seed(plain: Drafter, reports_file: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        draft_file(plain, reports_file, tmp_path / f"{name}.jsonl", 8, Sampling(8, 1.0, seed))
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert rows(tmp_path / "a.jsonl")[0]["draft"] != rows(tmp_path / "c.jsonl")[0]["draft"]


# What stands there already


def test_the_same_command_again_does_nothing(
    plain: Drafter, reports_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = draft_file(plain, reports_file, tmp_path / "d.jsonl", 8, SHORT)
    before = (tmp_path / "d.jsonl").stat().st_mtime_ns
    assert draft_file(plain, reports_file, tmp_path / "d.jsonl", 8, SHORT) == counts
    assert (tmp_path / "d.jsonl").stat().st_mtime_ns == before
    assert "already drafted with these settings; nothing to do" in capsys.readouterr().err


def test_drafts_of_other_settings_are_not_overwritten(plain: Drafter, reports_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.jsonl"
    draft_file(plain, reports_file, out, 8, SHORT)
    before = out.read_bytes()
    with pytest.raises(InputError, match="drafts of other settings stand here"):
        draft_file(plain, reports_file, out, 8, Sampling(9))
    (tmp_path / "d.run.json").unlink()
    with pytest.raises(InputError, match="drafts of other settings stand here"):
        draft_file(plain, reports_file, out, 8, SHORT)
    assert out.read_bytes() == before


def stop_after(drafter: Drafter, batches: int) -> Drafter:
    """The same drafter, but interrupted before batch number `batches`."""

    class Stopping(Wrapped):
        name = drafter.engine.name
        done = 0

        def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[list[Completion]]:
            if self.done == batches:
                raise KeyboardInterrupt
            self.done += 1
            return super().complete(prompts, sampling)

    return Drafter(Stopping(drafter.engine), drafter.prompt, drafter.name)


@pytest.fixture
def whole(plain: Drafter, reports_file: Path, tmp_path: Path) -> bytes:
    """The bytes of an undisturbed drafts file."""
    draft_file(plain, reports_file, tmp_path / "whole.jsonl", 4, SHORT)
    return (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("batches", [0, 1, 7])
def test_an_interrupted_file_goes_on_to_the_same_bytes(
    plain: Drafter, reports_file: Path, tmp_path: Path, whole: bytes, batches: int
) -> None:
    out = tmp_path / "d.jsonl"
    with pytest.raises(KeyboardInterrupt):
        draft_file(stop_after(plain, batches), reports_file, out, 4, SHORT)
    assert not out.exists()
    assert len((tmp_path / "d.jsonl.partial").read_text().splitlines()) == 1 + batches
    draft_file(stop_after(plain, 10 - batches), reports_file, out, 4, SHORT)  # drafts no more than what is left
    assert out.read_bytes() == whole


@pytest.mark.parametrize("cut", [1, 40, 2_000])
def test_a_torn_end_of_the_partial_file_is_drafted_again(
    plain: Drafter, reports_file: Path, tmp_path: Path, whole: bytes, cut: int
) -> None:
    out, partial = tmp_path / "d.jsonl", tmp_path / "d.jsonl.partial"
    with pytest.raises(KeyboardInterrupt):
        draft_file(stop_after(plain, 3), reports_file, out, 4, SHORT)
    os.truncate(partial, partial.stat().st_size - cut)
    draft_file(plain, reports_file, out, 4, SHORT)
    assert out.read_bytes() == whole


@pytest.mark.parametrize("size", [0, 20])
def test_a_torn_first_line_begins_anew(
    plain: Drafter, reports_file: Path, tmp_path: Path, whole: bytes, size: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        draft_file(stop_after(plain, 1), reports_file, tmp_path / "d.jsonl", 4, SHORT)
    os.truncate(tmp_path / "d.jsonl.partial", size)
    draft_file(plain, reports_file, tmp_path / "d.jsonl", 4, SHORT)
    assert (tmp_path / "d.jsonl").read_bytes() == whole


def test_a_partial_file_of_other_settings_is_refused_and_kept(
    plain: Drafter, reports_file: Path, tmp_path: Path
) -> None:
    out, partial = tmp_path / "d.jsonl", tmp_path / "d.jsonl.partial"
    with pytest.raises(KeyboardInterrupt):
        draft_file(stop_after(plain, 2), reports_file, out, 4, SHORT)
    before = partial.read_bytes()
    with pytest.raises(InputError, match="begun with another batch_size, max_new_tokens"):
        draft_file(plain, reports_file, out, 8, Sampling(9))
    rows_now = rows(reports_file)
    write_jsonl(reports_file, rows_now[:-1])
    with pytest.raises(InputError, match="begun with another reports_sha256"):
        draft_file(plain, reports_file, out, 4, SHORT)
    assert partial.read_bytes() == before


def test_a_foreign_partial_file_is_refused(plain: Drafter, reports_file: Path, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl.partial").write_text("my notes\n")
    with pytest.raises(InputError, match="not a begun drafts file"):
        draft_file(plain, reports_file, tmp_path / "d.jsonl", 4, SHORT)
    assert (tmp_path / "d.jsonl.partial").read_text() == "my notes\n"


def test_a_kill_between_the_drafts_and_their_run_file_is_healed(
    plain: Drafter, reports_file: Path, tmp_path: Path, whole: bytes
) -> None:
    out = tmp_path / "d.jsonl"
    with pytest.raises(KeyboardInterrupt):
        draft_file(stop_after(plain, 9), reports_file, out, 4, SHORT)
    out.write_bytes(whole)
    draft_file(plain, reports_file, out, 4, SHORT)
    assert out.read_bytes() == whole
    assert read_json(tmp_path / "d.run.json")["reports"] == 40
    assert not (tmp_path / "d.jsonl.partial").exists()


def test_bad_files_of_reports_are_told_before_anything_is_written(plain: Drafter, tmp_path: Path) -> None:
    cases = {
        "": "no reports in it",
        '{"findings": "Clear."}\n': ':1: no "id"',
        '{"id": "a"}\n{"id": "a"}\n': ":2: id 'a' already stands on line 1",
        '{"id": "a", "findings": "\\ud800"}\n': ':1: "findings" holds half a surrogate pair',
    }
    path, out = tmp_path / "r.jsonl", tmp_path / "d.jsonl"
    for content, told in cases.items():
        path.write_text(content)
        with pytest.raises(InputError, match=told):
            draft_file(plain, path, out, 4, SHORT)
    with pytest.raises(InputError, match="no such file"):
        draft_file(plain, tmp_path / "gone.jsonl", out, 4, SHORT)
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.jsonl"]


# Kill it, and fill the disk


def draft_in_a_process(base: Path, reports_path: Path, out: Path, file_limit: int | None = None) -> None:
    if file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    try:
        draft_file(load_drafter(str(base), device="cpu"), reports_path, out, 4, Sampling(30))
    except OSError as error:
        print(f"OSError of {error.filename}: {error.strerror}", file=sys.stderr)
        raise SystemExit(3) from None


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory, reports: list[Report]) -> Path:
    path = tmp_path_factory.mktemp("long") / "reports.jsonl"
    write_jsonl(path, [report.to_json() | {"id": f"{report.id}-{i}"} for i in range(3) for report in reports])
    return path


@pytest.fixture(scope="module")
def undisturbed(base: Path, long_file: Path) -> bytes:
    out = long_file.with_name("whole.jsonl")
    draft_in_a_process(base, long_file, out)
    return out.read_bytes()


def test_kill_and_resume_gives_the_bytes_of_an_undisturbed_file(
    base: Path, long_file: Path, undisturbed: bytes, tmp_path: Path
) -> None:
    out, told = tmp_path / "d.jsonl", tmp_path / "told"
    rng = random.Random(0)
    for lines in sorted(rng.sample(range(2, 25), 3)):
        killed = Signal(signal.SIGKILL, tmp_path, "d.jsonl.partial", lines)
        process = start(told, draft_in_a_process, base, long_file, out, sent=killed)
        process.join()
        assert process.exitcode == -signal.SIGKILL, told.read_text()[-500:]
    last = start(told, draft_in_a_process, base, long_file, out)
    last.join()
    assert last.exitcode == 0, told.read_text()[-500:]
    assert out.read_bytes() == undisturbed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.jsonl", "d.run.json", "told"]


def test_a_full_disk_keeps_what_was_drafted_and_goes_on_when_there_is_room(
    base: Path, long_file: Path, undisturbed: bytes, tmp_path: Path
) -> None:
    out, partial, told = tmp_path / "d.jsonl", tmp_path / "d.jsonl.partial", tmp_path / "told"
    full = start(told, draft_in_a_process, base, long_file, out, 20_000)
    full.join()
    assert full.exitcode == 3
    assert f"OSError of {partial}: " in told.read_text()
    kept = partial.read_bytes()
    assert kept.count(b"\n") > 5
    assert not out.exists()
    draft_in_a_process(base, long_file, out)
    assert out.read_bytes() == undisturbed
    first = json.loads(kept.splitlines()[1])
    assert first.keys() <= {str(i) for i in range(120)}
