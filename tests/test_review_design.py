"""The design of a study: who judges what, in which order, and the same again from the same seed."""

from collections import Counter

import pytest

from radllama.errors import InputError
from radllama.review.design import REPEAT_GAP, describe_design, make_design, place_counts, shared_reports


def firsts(seat: object) -> list[int]:
    return [page.report for page in seat if not page.repeat]  # type: ignore[attr-defined]


def test_a_full_design_shows_every_report_to_every_rater() -> None:
    design = make_design(reports=30, systems=2, raters=3, seed=1)
    assert design.kind == "full"
    assert all(sorted(firsts(seat)) == list(range(30)) for seat in design.seats)
    assert len({tuple(firsts(seat)) for seat in design.seats}) == 3  # each in an order of their own


@pytest.mark.parametrize(
    ("raters", "per_report", "reports", "shared"),
    [(7, 3, 7, 1), (6, 2, 15, 1), (6, 3, 10, 2), (9, 3, 12, 1), (13, 4, 13, 1)],
)
def test_where_a_balanced_design_exists_it_is_found(raters: int, per_report: int, reports: int, shared: int) -> None:
    design = make_design(reports, 2, raters, per_report, repeat_share=0, seed=1)
    assert set(shared_reports(design).values()) == {shared}
    assert Counter(page.report for seat in design.seats for page in seat) == dict.fromkeys(range(reports), per_report)


@pytest.mark.parametrize(("raters", "per_report", "reports"), [(5, 2, 31), (10, 4, 101), (20, 3, 200), (8, 7, 50)])
def test_elsewhere_loads_differ_by_one_and_pairs_hardly(raters: int, per_report: int, reports: int) -> None:
    design = make_design(reports, 3, raters, per_report, repeat_share=0, seed=2)
    loads = [len(seat) for seat in design.seats]
    assert sum(loads) == reports * per_report
    assert max(loads) - min(loads) <= 1
    shared = shared_reports(design).values()
    assert max(shared) - min(shared) <= 2


@pytest.mark.parametrize("systems", [1, 2, 3, 5])
def test_each_system_stands_in_each_place_equally_often_for_every_rater(systems: int) -> None:
    design = make_design(reports=60, systems=systems, raters=3, repeat_share=0, seed=3)
    assert set(place_counts(design).values()) == {3 * 60 // systems}
    for seat in design.seats:
        assert set(Counter((s, place) for page in seat for place, s in enumerate(page.order)).values()) == {
            60 // systems
        }


def test_a_share_of_reports_comes_again_late_and_with_its_sides_drawn_anew() -> None:
    design = make_design(reports=50, systems=3, raters=4, repeat_share=0.2, seed=4)
    orders = []
    for seat in design.seats:
        again = [(number, page) for number, page in enumerate(seat) if page.repeat]
        assert len(again) == 10
        for number, page in again:
            (before,) = [at for at, other in enumerate(seat) if other.report == page.report and not other.repeat]
            assert number - before > REPEAT_GAP
            orders.append((seat[before].order, page.order))
    assert len({before == after for before, after in orders}) == 2


def test_the_seed_alone_decides() -> None:
    assert make_design(20, 2, 4, 2, 0.1, seed=5) == make_design(20, 2, 4, 2, 0.1, seed=5)
    assert make_design(20, 2, 4, 2, 0.1, seed=5) != make_design(20, 2, 4, 2, 0.1, seed=6)


def test_a_study_of_one_report_works() -> None:
    assert [page.repeat for page in make_design(1, 1, 1, repeat_share=0.5).seats[0]] == [0]


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ({"raters": 0}, "at least one rater"),
        ({"per_report": 5}, "expected 1 to 4, the number of raters"),
        ({"per_report": 0}, "expected 1 to 4"),
        ({"repeat_share": 0.6}, "a share of 0 to 0.5"),
        ({"reports": 0}, "at least one report"),
        ({"reports": 3, "per_report": 1}, "some of 4 raters without one"),
    ],
)
def test_numbers_that_make_no_design_are_told(numbers: dict[str, float], told: str) -> None:
    with pytest.raises(InputError, match=told):
        make_design(**{"reports": 20, "systems": 2, "raters": 4, **numbers})  # type: ignore[arg-type]


def test_what_is_shown_before_a_study_starts() -> None:
    told = dict(describe_design(make_design(12, 2, 4, 2, 0.25, seed=7)))
    assert told["design"] == "balanced: each report by 2 of 4 raters"
    assert told["pages a rater"] == "6 reports and 2 of them again"
    assert told["two raters share"] == "2 reports"
    assert told["seed"] == "7"
