import numpy as np
import pytest
from numpy.typing import NDArray

from radllama.review.agreement.answers import NO_OVERLAP, SAME, TOO_FEW, Answers, Coefficient, Resampling
from radllama.review.agreement.chance import Level, Weighting, alpha, gwet, kappa, kappa_of_tables, pairs, weights
from radllama.review.agreement.icc import NEGATIVE, UNCONNECTED, icc
from radllama.stats import Array

NONE = np.nan
QUICK = Resampling(resamples=0)
# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", example C: four observers, twelve units. Gwet
# (2014), table 4.7, has the same data.
FOUR = [
    [1, 1, NONE, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4], [1, 1, 2, 1],
    [2, 2, 2, 2], [NONE, 5, 5, 5], [NONE, NONE, 1, 1], [NONE, NONE, 3, NONE],
]  # fmt: skip
# The worked example of Krippendorff's alpha in Wikipedia: three coders, fifteen units.
THREE = [
    [NONE, NONE, NONE, NONE, NONE, 3, 4, 1, 2, 1, 1, 3, 3, NONE, 3],
    [1, NONE, 2, 1, 3, 3, 4, 3] + 7 * [NONE],
    [NONE, NONE, 2, 1, 3, 4, 4, NONE, 2, 1, 1, 3, 3, NONE, 4],
]
# Shrout and Fleiss (1979), table 2: six subjects, four judges.
JUDGES = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
# Gwet (2014): 100 pregnancies by two abstractors (3 x 3), 223 patients by two ways to diagnose (4 x 4).
ABSTRACTORS = [[13, 0, 0], [0, 20, 7], [0, 4, 56]]
DIAGNOSES = [[40, 4, 4, 17], [6, 25, 2, 13], [4, 1, 21, 12], [15, 5, 9, 45]]


def table(values: object) -> Answers:
    return Answers.of(np.array(values, dtype=np.float64))


def of_counts(counts: list[list[int]]) -> Answers:
    cells = [(i, j) for i, row in enumerate(counts) for j, count in enumerate(row) for _ in range(count)]
    return table(cells)


@pytest.mark.parametrize(("level", "expected"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_krippendorffs_with_missing_answers(level: Level, expected: float) -> None:
    assert alpha(table(FOUR), range(1, 6), level, QUICK).value == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(("level", "expected"), [("nominal", 0.691), ("ordinal", 0.807), ("interval", 0.811)])
def test_alpha_is_the_textbooks_with_units_that_nobody_coded(level: Level, expected: float) -> None:
    found = alpha(table(np.array(THREE).T), range(1, 5), level, QUICK)
    assert found.value == pytest.approx(expected, abs=5e-4)
    assert (found.items, found.answers) == (12, 26)


@pytest.mark.parametrize(
    ("weighting", "expected", "low", "high"),
    [
        ("identity", 0.77544, 0.461, 1),
        ("linear", 0.859, 0.600, 1),
        ("quadratic", 0.914, 0.685, 1),
        ("ordinal", 0.899, 0.664, 1),
    ],
)
def test_ac1_and_ac2_are_gwets(weighting: Weighting, expected: float, low: float, high: float) -> None:
    found = gwet(table(FOUR), range(1, 6), weighting, QUICK)
    assert found.value == pytest.approx(expected, abs=5e-4)
    assert found.ci95_analytic == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize(
    ("counts", "weighting", "of_kappa", "of_gwet"),
    [
        (ABSTRACTORS, "identity", (0.796, 0.680, 0.913), (0.849, 0.764, 0.935)),
        (ABSTRACTORS, "linear", (0.843, 0.748, 0.938), (0.900, 0.842, 0.958)),
        (ABSTRACTORS, "quadratic", (0.892, 0.822, 0.962), (0.940, 0.905, 0.976)),
        (DIAGNOSES, "identity", (0.432, 0.341, 0.522), (0.456, 0.371, 0.542)),
        (DIAGNOSES, "linear", (0.407, 0.302, 0.512), (0.377, 0.267, 0.488)),
        (DIAGNOSES, "quadratic", (0.383, 0.254, 0.513), (0.299, 0.150, 0.447)),
        (DIAGNOSES, "ordinal", (0.390, 0.269, 0.512), (0.324, 0.189, 0.459)),
    ],
)
def test_kappa_and_ac_of_two_raters_are_gwets(
    counts: list[list[int]],
    weighting: Weighting,
    of_kappa: tuple[float, float, float],
    of_gwet: tuple[float, float, float],
) -> None:
    steps, answers = range(len(counts)), of_counts(counts)
    for found, (value, *bounds) in (
        (kappa(answers, steps, weights(weighting, len(counts)), QUICK), of_kappa),
        (gwet(answers, steps, weighting, QUICK), of_gwet),
    ):
        assert found.value == pytest.approx(value, abs=6e-4)
        # For tables of two raters he has another standard error of his own; it differs in the third digit.
        assert found.ci95_analytic == pytest.approx(bounds, abs=2e-3)


def test_weighted_kappa_is_cohens() -> None:
    # Cohen (1968), table 1: shares, and weights of disagreement 1, 3 and 6. He gives 0.348, and 0.492 unweighted.
    shares = np.array([[[0.44, 0.07, 0.09], [0.05, 0.20, 0.05], [0.01, 0.03, 0.06]]])
    agree = 1 - np.array([[0, 1, 3], [1, 0, 6], [3, 6, 0]]) / 6
    assert kappa_of_tables(shares, agree)[0] == pytest.approx(0.348, abs=5e-4)
    assert kappa_of_tables(shares, weights("identity", 3))[0] == pytest.approx(0.492, abs=5e-4)


def test_icc_is_shrouts_and_fleiss() -> None:
    # 0.29 and 0.62 are theirs; the bounds are those of R's psych::ICC, which prints 0.019 to 0.76 and 0.071 to 0.93.
    one, mean, k = icc(table(JUDGES), QUICK)
    assert one.value == pytest.approx(0.2898, abs=5e-5)
    assert mean.value == pytest.approx(0.6201, abs=5e-5)
    assert one.ci95_analytic == pytest.approx((0.019, 0.761), abs=5e-4)
    assert mean.ci95_analytic == pytest.approx((0.071, 0.927), abs=5e-4)
    assert k == 4


def test_icc_with_missing_answers_estimates_the_same_correlation() -> None:
    random = np.random.default_rng(3)
    drafts, raters, rest = random.normal(0, 1, 4000), random.normal(0, 0.5, 12), random.normal(0, 0.8, (4000, 12))
    raters -= raters.mean()
    values = drafts[:, None] + raters * (0.5 / raters.std(ddof=1)) + rest
    whole = icc(table(values), QUICK)[0].value
    # Three of twelve raters a draft, chosen by lot: not one draft has an answer of each.
    chosen = np.argsort(random.random(values.shape), axis=1) < 3
    one, mean, k = icc(table(np.where(chosen, values, NONE)), QUICK)
    assert whole == pytest.approx(1 / (1 + 0.25 + 0.64), abs=0.02)
    assert one.value == pytest.approx(whole, abs=0.03)
    assert mean.value == pytest.approx(1 / (1 + (0.25 + 0.64) / 3), abs=0.03)
    assert k == pytest.approx(3)
    assert one.ci95_analytic is None


def every(answers: Answers, scale: range, resampling: Resampling = QUICK) -> dict[str, Coefficient]:
    one, mean, _ = icc(answers, resampling)
    return {
        "alpha": alpha(answers, scale, "ordinal", resampling),
        "ac2": gwet(answers, scale, "ordinal", resampling),
        "icc1": one,
        "icck": mean,
    }


def test_perfect_agreement_is_1_by_every_coefficient() -> None:
    answers = table([[1, 1], [2, 2], [5, 5], [3, 3]])
    found = every(answers, range(1, 6)) | {"kappa": kappa(answers, range(1, 6), weights("quadratic", 5), QUICK)}
    assert {name: part.value for name, part in found.items()} == dict.fromkeys(found, pytest.approx(1))


def test_where_all_answers_are_the_same_there_is_a_reason_and_no_number_that_is_none() -> None:
    answers = table([[4, 4, 4], [4, 4, NONE], [4, NONE, 4]])
    found = every(answers, range(1, 6), Resampling())
    assert {name: (part.value, part.reason) for name, part in found.items()} == {
        "alpha": (None, SAME),
        "ac2": (1.0, None),
        "icc1": (None, SAME),
        "icck": (None, SAME),
    }
    alone = kappa(answers.raters([0, 1]), range(1, 6), weights("linear", 5))
    assert (alone.value, alone.reason, alone.ci95, alone.ci95_analytic) == (None, SAME, None, None)


@pytest.mark.parametrize(
    "values", [[[1], [2], [3]], [[1, NONE], [NONE, 2], [3, NONE]]], ids=["one rater", "no overlap"]
)
def test_without_two_answers_to_one_draft_there_is_none(values: list[list[float]]) -> None:
    found = every(table(values), range(1, 6), Resampling())
    assert {(part.value, part.reason) for part in found.values()} == {(None, NO_OVERLAP)}
    assert pairs(table(values)) == []


def test_one_shared_draft_makes_no_icc() -> None:
    assert icc(table([[1, 2], [3, NONE]]))[0].reason == TOO_FEW


def test_raters_who_contradict_each_other_get_an_icc_below_0_and_no_reliable_mean() -> None:
    one, mean, _ = icc(table([[1, 5], [5, 1], [1, 4], [4, 2]]))
    assert one.value == -1 and one.ci95 is not None and one.ci95[0] == -1
    assert (mean.value, mean.reason, mean.ci95_analytic) == (None, NEGATIVE, None)


def test_two_raters_who_never_share_with_the_others_make_no_icc() -> None:
    # Two drafts, each by raters of its own: whether one is weak or its raters are strict cannot be told.
    one, mean, _ = icc(table([[1, 2, NONE, NONE], [NONE, NONE, 4, 5]]))
    assert (one.value, one.reason) == (None, UNCONNECTED)
    assert (mean.value, mean.reason) == (None, UNCONNECTED)


def test_rare_low_marks_pull_alpha_down_and_leave_ac2_high() -> None:
    # 96 of 100 drafts get 5 from both, four get 5 from one and 4 from the other: the paradox of kappa.
    answers = table([[5, 5]] * 96 + [[5, 4], [4, 5]] * 2)
    found = every(answers, range(1, 6))
    assert found["alpha"].value == pytest.approx(-0.015, abs=1e-3)
    assert found["ac2"].value is not None and found["ac2"].value > 0.99


def noisy(reports: int, each: int, seed: int = 0) -> tuple[Array, NDArray[np.intp]]:
    """Answers of three raters to `each` drafts of each report that share its difficulty, and the report of each."""
    random = np.random.default_rng(seed)
    report = np.repeat(np.arange(reports, dtype=np.intp), each)
    level = 3 + random.normal(0, 0.9, reports)[report] + random.normal(0, 0.2, reports * each)
    return np.clip(np.rint(level[:, None] + random.normal(0, 0.7, (reports * each, 3))), 1, 5), report


def test_drafts_of_one_report_do_not_count_as_so_many_reports() -> None:
    values, report = noisy(30, 6)
    clustered, apart = alpha(Answers(values, report), range(1, 6)), alpha(Answers.of(values), range(1, 6))
    assert clustered.value == apart.value
    assert clustered.ci95 is not None and apart.ci95 is not None
    assert clustered.ci95[1] - clustered.ci95[0] > 1.4 * (apart.ci95[1] - apart.ci95[0])


def test_bootstrap_and_published_intervals_are_alike_where_reports_are_independent() -> None:
    values, report = noisy(200, 1)
    answers = Answers(values[:, :2], report)
    for found in (gwet(answers, range(1, 6)), kappa(answers, range(1, 6), weights("quadratic", 5))):
        assert found.ci95 == pytest.approx(found.ci95_analytic, abs=0.03)


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    truth = alpha(Answers(*noisy(20_000, 2, 99)), range(1, 6), resampling=QUICK).value
    assert truth is not None
    intervals = [
        alpha(Answers(*noisy(60, 2, seed)), range(1, 6), resampling=Resampling(300)).ci95 for seed in range(200)
    ]
    covered = [low <= truth <= high for low, high in filter(None, intervals)]
    assert len(covered) == 200
    assert np.mean(covered) == pytest.approx(0.95, abs=0.05)


def test_of_one_report_there_is_no_interval() -> None:
    found = alpha(Answers(np.array([[1.0, 2], [4, 4]]), np.array([0, 0])), range(1, 6))
    assert found.value is not None and found.ci95 is None


def test_an_answer_off_the_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="not on the scale"):
        alpha(table([[1, 6]]), range(1, 6))
