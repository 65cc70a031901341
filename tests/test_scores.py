import json
from typing import Any

import numpy as np
import pytest

from radllama.evaluation.measures import MEASURES, Scored
from radllama.evaluation.scores import SYSTEM, summarise
from radllama.evaluation.tables import render_table
from radllama.stats import Ratios


def values(*rouge1: float, empty: tuple[int, ...] = (), repeated: tuple[tuple[int, int], ...] = ()) -> Scored:
    """Reports whose drafts score so in ROUGE-1 and 0 in all else, with what each repeats of how many observations."""
    numerators = np.zeros((len(rouge1), len(MEASURES)))
    denominators = np.array([[float(measure.per is None) for measure in MEASURES.values()]] * len(rouge1))
    numerators[:, list(MEASURES).index("rouge1")] = rouge1
    for at, (above, below) in enumerate(repeated):
        numerators[at, 0], denominators[at, 0] = above, below
    return Scored(Ratios(numerators, denominators), np.isin(np.arange(len(rouge1)), empty))


def scored(**rows: Scored) -> dict[str, Any]:
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
        assert list(part) == ["n", *MEASURES, "ci95", "denominators", "empty_drafts"]
        assert list(part["ci95"]) == list(MEASURES)
        for measure, bounds in part["ci95"].items():
            if bounds is None:
                assert part[measure] is None and part["denominators"][measure] == 0
            else:
                assert bounds[0] <= part[measure] <= bounds[1]


def test_a_row_beside_another_has_the_interval_it_has_alone() -> None:
    alone = scored(system=values(1, 0.5, 0.3, 0))
    beside = scored(system=values(1, 0.5, 0.3, 0), constant=values(0, 0, 1, 1))
    assert beside["overall"]["ci95"]["rouge1"] == pytest.approx(alone["overall"]["ci95"]["rouge1"])


def test_the_difference_is_the_system_less_the_row() -> None:
    scores = scored(system=values(1, 0.5, 0.3, 0.2), constant=values(0.9, 0.4, 0.2, 0.1))
    difference = scores["trivial"]["constant"]["difference"]["rouge1"]
    assert difference["mean"] == pytest.approx(0.1)
    assert difference["ci95"] == pytest.approx([0.1, 0.1])  # paired: the same on every report
    assert list(scores["trivial"]["constant"]["difference"]) == list(MEASURES)


def test_a_share_says_of_how_many_in_every_part() -> None:
    row = values(1, 1, 1, 1, repeated=((1, 2), (0, 0), (1, 1), (0, 1)))
    scores = scored(system=row)
    assert scores["overall"]["repeated"] == 0.5
    assert scores["overall"]["denominators"]["repeated"] == 4
    assert scores["strata"]["abnormal"]["denominators"]["repeated"] == 2
    assert "rouge1" not in scores["overall"]["denominators"]


def test_what_no_report_has_a_say_in_is_null_in_the_file() -> None:
    scores = scored(system=values(1, 0, 1, 0), lead=values(0, 0, 0, 0))
    assert scores["overall"]["repeated"] is None
    assert scores["overall"]["ci95"]["repeated"] is None
    assert scores["trivial"]["lead"]["difference"]["repeated"] == {"mean": None, "ci95": None}
    json.dumps(scores, allow_nan=False)


def test_the_system_is_no_trivial_row() -> None:
    assert SYSTEM not in scored(system=values(1, 1, 1, 1), lead=values(0, 0, 0, 0))["trivial"]


@pytest.fixture
def table() -> str:
    scores = scored(
        system=values(1, 0.5, 0.3, 0, empty=(3,), repeated=((0, 0), (0, 0), (1, 2), (1, 1))),
        constant=values(0, 0, 1, 1, repeated=((0, 0), (0, 0), (0, 2), (0, 1))),
        nearest=values(1, 1, 0, 0),
    )
    name = "a/very/long/folder/of/runs/that/ends/in/adapter"
    return render_table({**scores, "system": name, "notes": ["One note.", "Another."]})


def test_the_table_shows_faithfulness_before_wording_each_with_the_system_first(table: str) -> None:
    names = [line.split()[0] for line in table.splitlines() if line[:1].isalnum()]
    rows = ["that/ends/in/adapter", "constant", "nearest"]
    assert names[0] == "Faithfulness"
    assert names[4:7] == rows
    assert names[7:11] == ["All", *rows]


def test_the_table_says_of_how_many_a_share_is(table: str) -> None:
    assert "repeated: % of 3 positive observations in findings and reference" in table
    [system, _] = [line.split() for line in table.splitlines() if line.startswith("that/ends/in/adapter")]
    assert system[1] == "66.7"
    assert system[3] == "-"  # nothing else has a say in this made-up row


def test_the_table_shows_means_times_100_with_intervals_and_counts_of_empty_drafts(table: str) -> None:
    [_, system] = [line for line in table.splitlines() if line.startswith("that/ends/in/adapter")]
    cells = system.split()
    assert cells[1:3] == ["4", "45.0"]
    assert cells[3].startswith("(") and cells[3].endswith(")")
    assert cells[-1] == "1"


def test_the_table_shows_each_main_stratum_beside_the_trivial_rows(table: str) -> None:
    [abnormal] = [line.split() for line in table.splitlines() if line.startswith("abnormal")]
    assert abnormal == ["abnormal", "2", "66.7", "-", "-", "15.0", "100.0", "0.0"]


def test_the_columns_of_the_table_stand_under_each_other(table: str) -> None:
    blocks = [block.splitlines() for block in table.split("\n\n")]
    assert len({line.rindex(")") for line in blocks[3][1:]}) == 1
    assert max(len(line) for block in blocks for line in block) <= 100


def test_the_notes_stand_below_the_table(table: str) -> None:
    assert table.endswith("One note.\n\nAnother.")
