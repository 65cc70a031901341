from typing import Any

import numpy as np
import pytest

from radllama.evaluation.metrics import METRICS
from radllama.evaluation.scores import SYSTEM, render_table, summarise

COLUMNS = len(METRICS) + 1


def values(*rouge1: float, empty: tuple[int, ...] = ()) -> np.ndarray[Any, np.dtype[np.float64]]:
    table = np.zeros((len(rouge1), COLUMNS))
    table[:, 0] = rouge1
    table[list(empty), -1] = 1
    return table


def scored(**rows: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    masks = {"normal": np.array([True, True, False, False]), "abnormal": np.array([False, False, True, True])}
    return summarise(rows, masks, seed=0, resamples=200)


def test_means_are_over_the_reports_of_the_stratum() -> None:
    scores = scored(system=values(1, 0.5, 0.3, 0, empty=(3,)))
    assert scores["overall"]["rouge1"] == pytest.approx(0.45)
    assert scores["strata"]["normal"]["rouge1"] == pytest.approx(0.75)
    assert scores["strata"]["abnormal"]["rouge1"] == pytest.approx(0.15)
    assert [scores[part]["n"] for part in ("overall",)] == [4]
    assert [scores["strata"][name]["n"] for name in ("normal", "abnormal")] == [2, 2]


def test_empty_drafts_are_counted_in_every_part() -> None:
    scores = scored(system=values(1, 0.5, 0.3, 0, empty=(3,)), lead=values(0, 0, 0, 0, empty=(0, 1)))
    assert scores["overall"]["empty_drafts"] == 1
    assert scores["strata"]["normal"]["empty_drafts"] == 0
    assert scores["strata"]["abnormal"]["empty_drafts"] == 1
    assert scores["trivial"]["lead"]["overall"]["empty_drafts"] == 2


def test_every_part_of_every_row_has_the_same_shape() -> None:
    scores = scored(system=values(1, 0.5, 0.3, 0), constant=values(0, 0, 1, 1), lead=values(0, 0, 0, 0))
    parts = [scores["overall"], *scores["strata"].values()]
    for row in scores["trivial"].values():
        parts += [row["overall"], *row["strata"].values()]
    assert len(parts) == 9
    for part in parts:
        assert list(part) == ["n", *METRICS, "ci95", "empty_drafts"]
        assert list(part["ci95"]) == list(METRICS)
        for metric, (low, high) in part["ci95"].items():
            assert low <= part[metric] <= high


def test_a_row_beside_another_has_the_interval_it_has_alone() -> None:
    alone = scored(system=values(1, 0.5, 0.3, 0))
    beside = scored(system=values(1, 0.5, 0.3, 0), constant=values(0, 0, 1, 1))
    assert beside["overall"]["ci95"]["rouge1"] == pytest.approx(alone["overall"]["ci95"]["rouge1"])


def test_the_difference_is_the_system_less_the_row() -> None:
    scores = scored(system=values(1, 0.5, 0.3, 0.2), constant=values(0.9, 0.4, 0.2, 0.1))
    difference = scores["trivial"]["constant"]["difference"]["rouge1"]
    assert difference["mean"] == pytest.approx(0.1)
    assert difference["ci95"] == pytest.approx([0.1, 0.1])  # paired: the same on every report
    assert list(scores["trivial"]["constant"]["difference"]) == list(METRICS)


def test_the_system_is_no_trivial_row() -> None:
    assert SYSTEM not in scored(system=values(1, 1, 1, 1), lead=values(0, 0, 0, 0))["trivial"]


@pytest.fixture
def table() -> str:
    scores = scored(system=values(1, 0.5, 0.3, 0, empty=(3,)), constant=values(0, 0, 1, 1), nearest=values(1, 1, 0, 0))
    name = "a/very/long/folder/of/runs/that/ends/in/adapter"
    return render_table({**scores, "system": name, "notes": ["One note.", "Another."]})


def test_the_table_shows_the_system_first_and_then_the_trivial_rows(table: str) -> None:
    names = [line.split()[0] for line in table.splitlines() if line[:1].isalnum()]
    assert names[:4] == ["All", "s/that/ends/in/adapter"[-20:], "constant", "nearest"]


def test_the_table_shows_means_times_100_with_intervals_and_counts_of_empty_drafts(table: str) -> None:
    [system] = [line for line in table.splitlines() if line.startswith("that/ends/in/adapter")]
    cells = system.split()
    assert cells[1:3] == ["4", "45.0"]
    assert cells[3].startswith("(") and cells[3].endswith(")")
    assert cells[-1] == "1"


def test_the_table_shows_each_stratum_beside_the_trivial_rows(table: str) -> None:
    [abnormal] = [line.split() for line in table.splitlines() if line.startswith("abnormal")]
    assert abnormal[:4] == ["abnormal", "reference", "2", "15.0"]
    assert abnormal[-2:] == ["100.0", "0.0"]


def test_the_columns_of_the_table_stand_under_each_other(table: str) -> None:
    block = table.split("\n\n")[1].splitlines()
    assert len({line.rindex(")") for line in block[1:]}) == 1
    assert max(map(len, table.split("\n\n")[1].splitlines())) <= 100


def test_the_notes_stand_below_the_table(table: str) -> None:
    assert table.endswith("One note.\n\nAnother.")
