from pathlib import Path

import numpy as np
import pytest
from command import make_run
from panels import PLAIN, merits, simulate
from scipy.stats import norm, wilcoxon

from radllama.errors import InputError
from radllama.review.latent import expected_step, to_steps
from radllama.review.power import (
    SHARES,
    Question,
    Spread,
    find_centres,
    parse_question,
    plan_study,
    read_pilot,
    render_plan,
    signed_rank_ps,
    simulate_power,
)
from radllama.review.ratings import write_export
from radllama.review.rehearsal import Panel

LONG = tuple(float(step) for step in range(-30, 31))


@pytest.mark.parametrize(("raters", "difference"), [(1, 3.0), (4, 3.0), (4, 2.0)])
def test_power_is_that_of_the_closed_form_where_there_is_one(raters: int, difference: float) -> None:
    # Judgements far wider than a step: differences are normal, with variance 2 (draft + rest / raters). The signed-rank
    # test then needs pi / 3 times the reports of the normal one (Noether 1987; its relative efficiency is 3 / pi).
    spread = Spread(report=4, draft=5, rater=3, rest=6)
    variance = 2 * (spread.draft**2 + spread.rest**2 / raters)
    wanted = (norm.ppf(0.975) + norm.ppf(0.8)) ** 2 * variance / difference**2 * np.pi / 3
    found = simulate_power(Question(difference, 0, LONG), spread, round(wanted), raters, simulations=3000)
    assert found == pytest.approx(0.8, abs=0.03)


def test_without_a_difference_a_test_finds_one_as_often_as_it_may() -> None:
    asked = Question(0.0, 3.5)
    assert simulate_power(asked, Spread(), 60, 2, simulations=4000) == pytest.approx(0.05, abs=0.012)
    assert simulate_power(asked, Spread(), 60, 2, tests=10, simulations=4000) == pytest.approx(0.005, abs=0.004)


def test_power_grows_with_reports_raters_and_difference_and_falls_with_tests() -> None:
    few = simulate_power(Question(0.3, 3.5), Spread(), 40, 2)
    assert few < simulate_power(Question(0.3, 3.5), Spread(), 80, 2)
    assert few < simulate_power(Question(0.5, 3.5), Spread(), 40, 2)
    assert few > simulate_power(Question(0.3, 3.5), Spread(), 40, 2, tests=30)
    # What drafts add stays, however many raters judge them.
    alone, crowd = (simulate_power(Question(0.3, 3.5), Spread(), 40, raters) for raters in (1, 30))
    assert alone < crowd < simulate_power(Question(0.3, 3.5), Spread(), 120, 1)


def test_answers_differ_by_what_was_asked_for_also_at_the_end_of_the_scale() -> None:
    spread = Spread()
    centres = find_centres(Question(0.4, 4.5), spread)
    assert expected_step(np.array(centres), spread.whole, (1, 2, 3, 4, 5)) == pytest.approx([4.5, 4.9])
    assert centres[1] - centres[0] > 0.6
    judged = np.random.default_rng(0).normal(centres[0], spread.whole, 200_000)
    assert to_steps(judged, 1, 5).mean() == pytest.approx(4.5, abs=0.01)


def test_a_share_is_found_as_a_share() -> None:
    # One rater, drafts alone: two independent shares on each report. A sign test of 0.5 against 0.7 needs about 90.
    spread = Spread(report=0, draft=1, rater=0, rest=0)
    found = simulate_power(Question(0.2, 0.5, SHARES), spread, 90, 1, simulations=3000)
    assert found == pytest.approx(_sign_test_power(0.5, 0.7, 90), abs=0.04)


def _sign_test_power(low: float, high: float, reports: int) -> float:
    gain, loss = high * (1 - low), low * (1 - high)
    apart, together = gain - loss, gain + loss
    error = np.sqrt(together - apart**2)
    return float(norm.cdf((apart * np.sqrt(reports) - norm.ppf(0.975) * np.sqrt(together)) / error))


def test_the_quick_signed_rank_test_is_scipys() -> None:
    rows = np.round(np.random.default_rng(3).normal(0.3, 1, (5, 40)) * 2) / 2
    assert signed_rank_ps(rows) == pytest.approx([wilcoxon(row, method="asymptotic").pvalue for row in rows])
    assert signed_rank_ps(np.zeros((1, 10))) == pytest.approx([1.0])


def test_a_plan_says_how_many_reports_are_needed() -> None:
    plan = plan_study(Question(0.5, 3.5), Spread(), raters=(1, 3), simulations=400)
    assert plan["needed"][3] < plan["needed"][1]
    for raters, needed in plan["needed"].items():
        assert simulate_power(Question(0.5, 3.5), Spread(), needed, raters) == pytest.approx(0.8, abs=0.06)
    told = render_plan(plan)
    assert "a mean of 3.50 against 4.00 on a scale of 1 to 5" in told and "for 80%" in told
    tiny = plan_study(Question(0.01, 3.5), Spread(), raters=(1,), simulations=20)
    assert tiny["needed"] == {1: None} and "over 2000" in render_plan(tiny)


def test_a_pilot_tells_its_spread_and_its_mean() -> None:
    merit = merits(80, (3.2, 2.8), report_sd=0.4, draft_sd=0.5)
    spread, mean = read_pilot(simulate(merit, ("a", "b"), Panel((-0.3, 0.0, 0.3)), human=None))
    assert mean == pytest.approx(3.0, abs=0.1)
    assert spread.draft == pytest.approx(0.5, abs=0.1)
    assert spread.rater == pytest.approx(0.3, abs=0.08)
    assert spread.rest == pytest.approx(np.sqrt(0.3**2 + 0.5**2 + 1 / 12), abs=0.08)


@pytest.mark.parametrize(
    ("question", "changes", "said"),
    [
        (Question(0.0), {}, "--difference 0"),
        (Question(1.6, 3.5), {}, "do not both lie between 1 and 5"),
        (Question(0.3, 0.9, SHARES), {}, "do not both lie between 0 and 1"),
        (Question(0.3), {"power": 1.0}, "--power 1"),
        (Question(0.3), {"raters": (0,)}, "at least 1"),
        (Question(0.3), {"spread": Spread(draft=-1)}, "at least 0"),
    ],
)
def test_what_makes_no_plan_is_refused(question: Question, changes: dict[str, object], said: str) -> None:
    settings = {"spread": Spread()} | changes
    with pytest.raises(InputError, match=said):
        plan_study(question, **settings)  # type: ignore[arg-type]


def test_a_mean_and_a_share_are_not_both_asked_for() -> None:
    with pytest.raises(InputError, match="give one"):
        parse_question(0.2, 3.0, 0.4, None)


def test_power_is_told_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run(monkeypatch, capfd)
    quick = ("--simulations", 50, "--raters", "2")
    done = run("review", "power", "--difference", 0.15, "--share", 0.4, *quick)
    assert done.code == 0 and "a share of 0.40 against 0.55" in done.out
    folder = tmp_path / "pilot"
    write_export(simulate(merits(20, (3.2, 2.8)), ("a", "b"), Panel((-0.3, 0.3)), human=None, questions=PLAIN), folder)
    done = run("review", "power", "--difference", 0.4, "--pilot", folder, "--draft-sd", 0.77, *quick)
    assert done.code == 0 and "draft 0.77" in done.out
    done = run("review", "power", "--difference", 0.4, "--pilot", folder, "--question", "brevity")
    assert (done.code, done.err) == (2, "radllama: the pilot study has no scale 'brevity'; it has coherence\n")
    done = run("review", "power", "--difference", 0.4, "--raters", "two")
    assert done.code == 2 and "expected whole numbers" in done.err
