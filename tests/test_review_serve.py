"""`radllama review` as it is typed: a study's whole way, bad input in one line, and a server that is killed."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from command import Run
from review_servers import PASSWORD, Guest
from review_studies import Rater, make_study, write_material
from servers import until
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from stores import run_postgres

from radllama.home import find_home
from radllama.review.answers import verify_answers
from radllama.review.ratings import read_export
from radllama.review.tables import AnswerRow, PageRow
from radllama.server.audit import AuditLog
from radllama.store.store import Store, open_store

_PROGRAM = "from radllama.cli import main\nif __name__ == '__main__':\n    main()\n"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty RADLLAMA_HOME."""
    monkeypatch.setenv("RADLLAMA_HOME", str(tmp_path / "home"))
    return find_home()


@pytest.fixture
def material(tmp_path: Path) -> list[str]:
    return write_material(tmp_path, reports=4)


class Served:
    """A `radllama review serve` of its own process."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self._home, self._arguments, self.url = home, arguments, ""
        self.start()

    def start(self) -> None:
        """Start it, for the first time or again, and wait until it answers."""
        told, program = self._home / "told", self._home / "main.py"
        told.write_text("")
        program.write_text(_PROGRAM)
        port = self.url.rsplit(":")[-1] if self.url else "0"
        with told.open("a") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, program, "review", "serve", "--port", port, *self._arguments],
                stdout=subprocess.DEVNULL, stderr=stderr, env={**os.environ, "RADLLAMA_HOME": str(self._home)},
            )  # fmt: skip
        until(lambda: " at http" in told.read_text() or self.process.poll() is not None)
        assert " at http" in told.read_text(), told.read_text()
        self.url = told.read_text().split(" at ")[-1].split()[0]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def read_kept(store: Store) -> list[tuple[int, str]]:
    """(seat, value) of every answer."""
    with store.read() as session:
        rows = session.execute(select(PageRow.seat, AnswerRow.value).join(PageRow, PageRow.id == AnswerRow.page_id))
        return [(row[0], row[1]) for row in rows]


@pytest.fixture
def serve(here: Path) -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(*arguments: str) -> Served:
        started.append(Served(here, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_a_study_goes_its_whole_way_from_files_to_rows(
    here: Path, material: list[str], run: Run, tmp_path: Path
) -> None:
    plan = run("review", "create", "pilot", *material, "--raters", 2, "--plan")
    assert "full: each report by all 2 raters" in plan.out
    assert run("review", "status").out == ""  # a plan makes nothing
    made = run("review", "create", "pilot", *material, "--raters", 2, "--repeat", 0, "--no-calibration")
    assert made.code == 0
    assert "  ours                    " in made.out
    links = run("review", "invite", "pilot", "--url", "https://review.hospital/").out.splitlines()
    assert [line.split("/invitation/")[0] for line in links] == [f"rater-{n}\thttps://review.hospital" for n in (1, 2)]
    assert run("review", "invite", "pilot").out == ""
    assert run("review", "invite", "pilot", "--seat", 1).out.startswith("rater-1\t")
    assert run("review", "invite", "pilot", "--coordinator").out.startswith("coordinator\t")
    store = open_store(None, here)
    Rater(AuditLog(store, here), 1).fill(1)
    store.close()
    assert "1 of 8 pages" in run("review", "status", "pilot").out
    out = tmp_path / "out"
    still = run("review", "export", "pilot", "--out", out)
    assert "is open, so systems and answers stay where they are" in still.err
    assert "ours" not in "".join(path.read_text() for path in out.iterdir())
    form = tmp_path / "form.yaml"
    form.write_text(run("review", "form", "pilot").out)
    assert run("review", "form", "pilot", "--form", form).out == "version 2\n"
    assert "all 22 answers in this database are as they were given" in run("review", "close", "pilot").err
    assert run("review", "export", "pilot", "--out", out).code == 0
    assert len(read_export(out).ratings) == 21
    assert run("review", "backup", tmp_path / "pilot.gz").out.endswith("22 of them answers\n")
    empty = f"sqlite:///{tmp_path}/restored.sqlite3"
    assert "22 of them answers" in run("review", "restore", tmp_path / "pilot.gz", "--database", empty).out
    assert run("review", "invite", "pilot", "--seat", 2).code == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--system", "ours=x.jsonl"], "another system's name already"),
        (["--system", "third=none.jsonl"], "none.jsonl: no such file"),
        (["--raters", "0"], "at least one rater"),
        (["--per-report", "9"], "expected 1 to 3, the number of raters"),
        (["--repeat", "2"], "a share of 0 to 0.5"),
        (["--sample", "99"], "has 4 reports"),
        (["--form", "none.yaml"], "none.yaml: no such file"),
        (["--calibration", "none.yaml"], "none.yaml: no such file"),
    ],
)
def test_a_study_that_cannot_be_made_is_told_in_one_line(
    here: Path, material: list[str], run: Run, change: list[str], told: str
) -> None:
    done = run("review", "create", "pilot", *material, *change)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert told in done.err
    assert run("review", "status").out == ""


def test_a_form_with_a_missing_anchor_makes_no_study(here: Path, material: list[str], run: Run, tmp_path: Path) -> None:
    form = tmp_path / "form.yaml"
    form.write_text(
        run("review", "create", "pilot", *material, "--raters", 1).out and run("review", "form", "pilot").out
    )
    form.write_text(form.read_text().replace("      3: Some phrases could go or are missing\n", ""))
    done = run("review", "create", "second", *material, "--form", form)
    assert (done.code, done.err) == (2, f"radllama: {form}: conciseness: no anchor for step 3\n")
    assert "no anchor for step 3" in run("review", "form", "pilot", "--form", form).err


@pytest.mark.parametrize("name", ["Ours", "a b", "../x", "", "x" * 61])
def test_a_name_that_cannot_stand_in_a_path_is_refused(here: Path, material: list[str], run: Run, name: str) -> None:
    done = run("review", "create", name, *material)
    assert (done.code, "expected 1 to 60 small letters" in done.err) == (2, True)


@pytest.mark.parametrize("verb", ["close", "form", "invite", "status"])
def test_a_study_that_is_none_is_told(here: Path, run: Run, verb: str) -> None:
    assert "no study 'none'" in run("review", verb, "none").err


def test_others_reach_it_over_tls_alone(here: Path, run: Run) -> None:
    assert "would cross the network unencrypted" in run("review", "serve", "--host", "0.0.0.0").err


def test_a_server_killed_while_raters_save_loses_and_doubles_nothing_it_acknowledged(
    here: Path, database: str, material: list[str], run: Run, serve: Callable[..., Served]
) -> None:
    seats = 4
    run("review", "create", "pilot", *material, "--raters", seats, "--no-calibration", "--database", database)
    served = serve("--database", database)
    links = run("review", "invite", "pilot", "--url", served.url, "--database", database).out
    guests = []
    for seat, path in enumerate(re.findall(r"(/invitation/\S+)", links)):
        guest = Guest(served.url)
        joined = guest.post(f"{path}/account", name=f"rater {seat}", password=PASSWORD, again=PASSWORD)
        assert joined.status_code == 303
        guests.append((guest, guest.csrf()))
    acknowledged: list[tuple[int, str]] = []

    def save_until_killed(seat: int) -> None:
        guest, csrf = guests[seat]
        number = 0
        for attempt in range(400):
            words = f"{seat}-{attempt}"
            sent = {"save": f"s{attempt}", "place": 1, "question": "comment", "value": words, "base": number}
            with suppress(httpx.HTTPError, json.JSONDecodeError):
                answer = guest.call("/api/studies/pilot/pages/1/answers", sent, csrf)
                if answer.status_code == 200:
                    number = answer.json()["number"]
                    acknowledged.append((seat, words))
                    continue
            return

    threads = [threading.Thread(target=save_until_killed, args=(seat,)) for seat in range(seats)]
    for thread in threads:
        thread.start()
    until(lambda: len(acknowledged) >= 3 * seats)
    served.kill()
    for thread in threads:
        thread.join()
    served.start()
    guest, csrf = guests[0]  # the session has outlived the server, too
    again: dict[str, Any] = {"save": "s0", "place": 1, "question": "comment", "value": "0-0", "base": 0}
    assert guest.call("/api/studies/pilot/pages/1/answers", again, csrf).status_code == 200
    store = open_store(database, here)
    kept = [(seat - 1, words) for seat, words in read_kept(store)]
    assert len(kept) == len(set(kept))
    assert set(acknowledged) <= set(kept)
    assert len(kept) - len(acknowledged) <= seats  # those that were on their way
    assert verify_answers(store, AuditLog(store, here)) == len(kept)
    store.close()


def test_a_postgresql_killed_while_raters_save_loses_and_doubles_nothing_it_acknowledged(
    here: Path, tmp_path: Path
) -> None:
    with run_postgres() as server:
        store = open_store(server.url, here)
        audit = AuditLog(store, here)
        make_study(audit, tmp_path, reports=1, raters=4)
        acknowledged: list[tuple[int, str]] = []

        def save_until_killed(seat: int) -> None:
            rater, number = Rater(audit, seat), 0
            with suppress(DBAPIError):
                for attempt in range(2000):
                    words = f"{seat}-{attempt}"
                    number = rater.answer(1, 0, "comment", words, base=number).number
                    acknowledged.append((seat, words))

        threads = [threading.Thread(target=save_until_killed, args=(seat,)) for seat in range(1, 5)]
        for thread in threads:
            thread.start()
        until(lambda: len(acknowledged) >= 12)
        server.kill()
        for thread in threads:
            thread.join()
        server.start()
        kept = read_kept(store)
        assert len(kept) == len(set(kept))
        assert set(acknowledged) <= set(kept)
        assert verify_answers(store, audit) == len(kept)
        store.close()
