import itertools

import numpy as np
import pytest

from radllama import stats
from radllama.stats import Ratios

means = Ratios.of_means


def bootstrap_means(values: stats.Array, resamples: int = stats.RESAMPLES, seed: int = 0) -> stats.Array:
    return stats.bootstrap(means(values), resamples, seed)


def randomisation_p(differences: stats.Array, permutations: int = stats.PERMUTATIONS, seed: int = 0) -> stats.Array:
    """Of means that differ so on each report."""
    return stats.randomisation_p(means(differences), means(np.zeros_like(differences)), permutations, seed)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = np.arange(40.0).reshape(-1, 1)
    first = stats.interval(bootstrap_means(values, seed=1))
    assert (first == stats.interval(bootstrap_means(values, seed=1))).all()
    assert (first != stats.interval(bootstrap_means(values, seed=2))).any()


def test_the_interval_of_a_large_sample_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.2, size=(2000, 1))
    low, high = stats.interval(bootstrap_means(values, resamples=4000))[:, 0]
    error = values.std() / np.sqrt(2000)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_an_interval_covers_the_truth_about_95_times_in_100() -> None:
    random = np.random.default_rng(3)
    covered = 0
    for seed in range(300):
        low, high = stats.interval(bootstrap_means(random.random((60, 1)), resamples=400, seed=seed))[:, 0]
        covered += low <= 0.5 <= high
    assert 270 <= covered <= 297


def test_one_report_has_an_interval_of_no_width() -> None:
    assert stats.interval(bootstrap_means(np.array([[0.3]]), resamples=50)).tolist() == [[0.3], [0.3]]


def test_columns_are_resampled_with_the_same_reports() -> None:
    values = np.random.default_rng(0).random((30, 1))
    means = bootstrap_means(np.hstack([values, values + 1]), resamples=200)
    assert means[:, 1] == pytest.approx(means[:, 0] + 1)


def test_a_column_beside_another_does_not_change_it() -> None:
    values = np.random.default_rng(0).random((30, 3))
    alone = bootstrap_means(values[:, :1], resamples=200)
    assert bootstrap_means(values, resamples=200)[:, :1] == pytest.approx(alone)


def test_drawing_in_chunks_draws_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(9, size=(25, 2)).astype(float)  # sums of integers are exact
    whole = bootstrap_means(values, resamples=100)
    monkeypatch.setattr(stats, "_DRAWS_AT_ONCE", 70)
    assert (bootstrap_means(values, resamples=100) == whole).all()


def test_no_report_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one report"):
        bootstrap_means(np.empty((0, 2)))


def test_a_nan_is_an_error_and_never_drops_out_of_a_mean() -> None:
    with pytest.raises(ValueError, match="not finite"):
        bootstrap_means(np.array([[0.1], [np.nan]]))


def test_a_paired_difference_is_surer_than_its_parts() -> None:
    random = np.random.default_rng(0)
    theirs = random.random((100, 1))
    ours = theirs + 0.02 + 0.01 * random.random((100, 1))
    mean, bounds = stats.paired_difference(means(ours), means(theirs))
    assert mean[0] == pytest.approx((ours - theirs).mean())
    assert 0.02 < bounds[0, 0] < mean[0] < bounds[1, 0] < 0.03
    apart = stats.interval(bootstrap_means(theirs))
    assert apart[1, 0] - apart[0, 0] > 10 * (bounds[1, 0] - bounds[0, 0])


def test_equal_systems_do_not_differ() -> None:
    values = np.random.default_rng(0).random((20, 2))
    mean, bounds = stats.paired_difference(means(values), means(values))
    assert mean.tolist() == [0, 0]
    assert bounds.tolist() == [[0, 0], [0, 0]]


def test_a_difference_needs_the_same_reports() -> None:
    with pytest.raises(ValueError, match="not the same reports"):
        stats.paired_difference(means(np.zeros((2, 1))), means(np.zeros((3, 1))))


def column(*differences: float) -> stats.Array:
    return np.array(differences).reshape(-1, 1)


def exact_p(*differences: float) -> float:
    """The share of all choices of signs whose sum is as far from 0 as the sum observed."""
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    sums = np.abs(signs @ np.array(differences))
    return float((sums >= abs(sum(differences)) - 1e-9).mean())


def test_a_randomisation_p_is_the_share_of_signs_that_go_as_far() -> None:
    # By hand, of 8 choices of signs: the sums are +-6, +-4, +-2, 0, 0; only +-6 goes as far as 1 + 2 + 3.
    assert randomisation_p(column(1, 2, 3))[0] == pytest.approx(2 / 8, abs=0.015)
    # +-6 and +-4 go as far as -1 + 2 + 3.
    assert randomisation_p(column(-1, 2, 3))[0] == pytest.approx(4 / 8, abs=0.015)
    assert randomisation_p(column(1, 2, -3))[0] == 1


def test_the_randomisation_p_of_darwins_maize_is_fishers() -> None:
    # Fisher, The Design of Experiments (1935), section 21: crossed less self-fertilised plants, in eighths
    # of an inch; 1,726 of 32,768 choices of signs go as far as the sum of 314: 5.267%.
    maize = (49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48)
    assert exact_p(*maize) == 1726 / 32768
    assert randomisation_p(column(*maize), permutations=400_000)[0] == pytest.approx(1726 / 32768, abs=0.001)


@pytest.mark.parametrize("seed", range(5))
def test_a_randomisation_p_is_near_the_exact_one_also_where_sums_tie(seed: int) -> None:
    differences = np.random.default_rng(seed).integers(-3, 5, size=11) / 10  # tenths are not exact in binary
    drawn = randomisation_p(differences.reshape(-1, 1), permutations=50_000, seed=seed)[0]
    assert drawn == pytest.approx(exact_p(*differences), abs=0.01)


def test_where_nothing_differs_p_is_one() -> None:
    assert randomisation_p(np.zeros((20, 2))).tolist() == [1, 1]


def test_one_report_shows_nothing() -> None:
    assert randomisation_p(column(0.9)).tolist() == [1]


def test_a_randomisation_p_is_never_zero() -> None:
    assert randomisation_p(np.ones((200, 1)), permutations=999).tolist() == [1 / 1000]


def test_where_systems_are_alike_p_is_below_each_level_as_often_as_the_level_says() -> None:
    random = np.random.default_rng(11)
    # As scores are: many ties, long tails, but no side preferred.
    apart = random.choice([0, 0, 0.1, 0.2, 0.5, 1], size=(60, 4000)) * random.choice([1, -1], size=(60, 4000))
    p_values = randomisation_p(apart, permutations=2000, seed=1)
    for level in (0.01, 0.05, 0.2, 0.5):
        assert (p_values < level).mean() == pytest.approx(level, abs=4 * np.sqrt(level / 4000))


def test_p_does_not_ask_which_system_comes_first() -> None:
    differences = np.random.default_rng(0).normal(0.1, 1, size=(40, 3))
    assert (randomisation_p(differences) == randomisation_p(-differences)).all()


def test_p_depends_on_the_seed_and_not_on_other_columns() -> None:
    differences = np.random.default_rng(0).normal(0.2, 1, size=(40, 3))
    first = randomisation_p(differences, seed=1)
    assert (randomisation_p(differences[:, :1], seed=1) == first[:1]).all()
    assert (randomisation_p(differences, seed=2) != first).any()


def test_drawing_signs_in_chunks_draws_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(0).normal(0.2, 1, size=(25, 2))
    whole = randomisation_p(differences, permutations=1000)
    monkeypatch.setattr(stats, "_DRAWS_AT_ONCE", 70)
    assert (randomisation_p(differences, permutations=1000) == whole).all()


def test_a_nan_has_no_p() -> None:
    with pytest.raises(ValueError, match="not finite"):
        randomisation_p(column(0.1, float("nan")))


def shares(*fractions: tuple[float, float]) -> Ratios:
    """One column of (numerator, denominator), a report each."""
    table = np.array(fractions, dtype=float)
    return Ratios(table[:, :1], table[:, 1:])


def test_a_share_is_of_all_that_the_reports_have_to_say_and_not_a_mean_of_shares() -> None:
    assert shares((1, 1), (0, 3), (0, 0)).scores().tolist() == [0.25]


def test_where_no_report_has_a_say_there_is_no_score_no_interval_and_no_difference() -> None:
    silent = shares((0, 0), (0, 0))
    assert np.isnan(silent.scores()).all()
    assert np.isnan(stats.interval(stats.bootstrap(silent, resamples=20))).all()
    difference, bounds = stats.paired_difference(silent, shares((1, 1), (0, 1)), resamples=20)
    assert np.isnan(difference).all() and np.isnan(bounds).all()
    assert stats.randomisation_p(silent, silent, permutations=20).tolist() == [1]


def test_draws_without_a_say_are_left_out_of_the_interval() -> None:
    # One report of five has a say: a third of the draws miss it, the others all say 1.
    values = shares((1, 1), (0, 0), (0, 0), (0, 0), (0, 0))
    drawn = stats.bootstrap(values, resamples=500)
    assert 0.25 < np.isnan(drawn).mean() < 0.41
    assert stats.interval(drawn).tolist() == [[1], [1]]


def test_the_interval_of_a_share_is_that_of_a_mean_where_every_report_says_as_much() -> None:
    values = np.random.default_rng(0).integers(4, size=(40, 1)).astype(float)
    as_shares = stats.bootstrap(Ratios(values, np.full_like(values, 3.0)), resamples=100)
    assert as_shares == pytest.approx(stats.bootstrap(means(values / 3), resamples=100))


def test_a_share_is_less_sure_where_few_reports_say_it_all() -> None:
    even = shares(*[(at % 2, 1) for at in range(100)])
    uneven = shares(*[((at % 2) * (96 if at < 2 else 1), 96 if at < 2 else 1) for at in range(100)])
    widths = [float(np.diff(stats.interval(stats.bootstrap(part)), axis=0)[0, 0]) for part in (even, uneven)]
    assert widths[1] > 2 * widths[0]


def exact_exchange_p(ours: Ratios, theirs: Ratios) -> float:
    """The share of all exchanges of drafts after which the shares are as far apart as those observed."""
    apart = abs(ours.scores() - theirs.scores())[0]
    far = []
    for choice in itertools.product([False, True], repeat=len(ours)):
        swap = np.array(choice)[:, None]
        one = (
            np.where(swap, theirs.numerators, ours.numerators).sum()
            / np.where(swap, theirs.denominators, ours.denominators).sum()
        )
        two = (
            np.where(swap, ours.numerators, theirs.numerators).sum()
            / np.where(swap, ours.denominators, theirs.denominators).sum()
        )
        far.append(abs(one - two) >= apart - 1e-9)
    return float(np.mean(far))


@pytest.mark.parametrize("seed", range(4))
def test_the_p_of_shares_is_that_of_exchanging_drafts_also_where_denominators_differ(seed: int) -> None:
    random = np.random.default_rng(seed)
    below = [random.integers(1, 5, size=(9, 1)).astype(float) for _ in range(2)]
    ours, theirs = (Ratios(np.floor(random.random((9, 1)) * (one + 1)), one) for one in below)
    drawn = stats.randomisation_p(ours, theirs, permutations=50_000, seed=seed)[0]
    assert drawn == pytest.approx(exact_exchange_p(ours, theirs), abs=0.01)


def test_a_denominator_below_zero_is_an_error() -> None:
    with pytest.raises(ValueError, match="below 0"):
        shares((1, 1), (1, -1))


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        # By hand: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 1 x 0.04, which may not pass the one before it.
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.5, 0.9, 0.4], [1, 1, 1]),
        ([0.001, 1], [0.002, 1]),
    ],
)
def test_holm_multiplies_by_the_tests_that_are_left(p_values: list[float], adjusted: list[float]) -> None:
    assert stats.holm(np.array(p_values)).tolist() == pytest.approx(adjusted)


def test_holm_rejects_the_three_that_are_published() -> None:
    # Benjamini and Hochberg (1995), section 3.2: 15 endpoints of a trial in myocardial infarction, of which
    # Bonferroni's and Hochberg's procedures both reject the first three at 0.05; Holm's lies between them.
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719]
    adjusted = stats.holm(np.array([*p_values, 0.6528, 0.7590, 1.0]))
    assert adjusted[:4].tolist() == pytest.approx([15 * 0.0001, 14 * 0.0004, 13 * 0.0019, 12 * 0.0095])
    assert (adjusted < 0.05).sum() == 3


def test_holm_lies_between_the_p_and_bonferroni_and_keeps_the_order() -> None:
    p_values = np.random.default_rng(0).random(200) ** 4
    adjusted = stats.holm(p_values)
    assert (adjusted >= p_values).all()
    assert (adjusted <= np.minimum(1, 200 * p_values)).all()
    assert (np.diff(adjusted[np.argsort(p_values)]) >= 0).all()


def test_after_holm_one_family_of_twenty_where_nothing_differs_holds_a_false_difference() -> None:
    families = np.random.default_rng(5).random((3000, 9))
    wrong = np.mean([stats.holm(p_values).min() < 0.05 for p_values in families])
    assert wrong == pytest.approx(0.05, abs=0.012)
    assert (families.min(axis=1) < 0.05).mean() > 0.3  # uncorrected


def test_runs_are_drawn_as_well_as_reports() -> None:
    """Two runs that disagree by more than reports do: the interval spans both."""
    runs = [means(np.full((50, 1), value)) for value in (0.2, 0.6)]
    assert stats.pool_runs(runs).scores() == pytest.approx([0.4])
    drawn = stats.bootstrap_runs(runs, resamples=4000)
    assert set(np.round(drawn[:, 0], 6)) == {0.2, 0.4, 0.6}
    assert (np.round(drawn[:, 0], 6) == 0.4).mean() == pytest.approx(0.5, abs=0.03)
    assert stats.interval(drawn)[:, 0] == pytest.approx([0.2, 0.6])


def test_one_run_has_the_interval_of_its_reports() -> None:
    values = means(np.random.default_rng(0).random((30, 2)))
    assert (stats.bootstrap_runs([values], 100, seed=3) == stats.bootstrap(values, 100, seed=3)).all()


def test_two_systems_of_the_same_runs_are_paired_in_reports_and_seeds() -> None:
    random = np.random.default_rng(1)
    runs = [random.random((30, 1)) for _ in range(3)]
    ours = stats.bootstrap_runs([means(run + 0.1) for run in runs])
    assert ours - stats.bootstrap_runs([means(run) for run in runs]) == pytest.approx(0.1)


def test_a_share_over_runs_leaves_out_the_reports_that_have_no_say() -> None:
    run = Ratios(np.array([[1.0], [0.0], [0.0]]), np.array([[2.0], [2.0], [0.0]]))
    other = Ratios(np.array([[2.0], [1.0], [0.0]]), np.array([[2.0], [2.0], [0.0]]))
    assert stats.pool_runs([run, other]).scores() == pytest.approx([0.5])
    assert np.isfinite(stats.bootstrap_runs([run, other])).mean() > 0.9
