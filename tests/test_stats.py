import numpy as np
import pytest

from radllama import stats


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = np.arange(40.0).reshape(-1, 1)
    first = stats.interval(stats.bootstrap_means(values, seed=1))
    assert (first == stats.interval(stats.bootstrap_means(values, seed=1))).all()
    assert (first != stats.interval(stats.bootstrap_means(values, seed=2))).any()


def test_the_interval_of_a_large_sample_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.2, size=(2000, 1))
    low, high = stats.interval(stats.bootstrap_means(values, resamples=4000))[:, 0]
    error = values.std() / np.sqrt(2000)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_an_interval_covers_the_truth_about_95_times_in_100() -> None:
    random = np.random.default_rng(3)
    covered = 0
    for seed in range(300):
        low, high = stats.interval(stats.bootstrap_means(random.random((60, 1)), resamples=400, seed=seed))[:, 0]
        covered += low <= 0.5 <= high
    assert 270 <= covered <= 297


def test_one_report_has_an_interval_of_no_width() -> None:
    assert stats.interval(stats.bootstrap_means(np.array([[0.3]]), resamples=50)).tolist() == [[0.3], [0.3]]


def test_columns_are_resampled_with_the_same_reports() -> None:
    values = np.random.default_rng(0).random((30, 1))
    means = stats.bootstrap_means(np.hstack([values, values + 1]), resamples=200)
    assert means[:, 1] == pytest.approx(means[:, 0] + 1)


def test_a_column_beside_another_does_not_change_it() -> None:
    values = np.random.default_rng(0).random((30, 3))
    alone = stats.bootstrap_means(values[:, :1], resamples=200)
    assert stats.bootstrap_means(values, resamples=200)[:, :1] == pytest.approx(alone)


def test_drawing_in_chunks_draws_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(9, size=(25, 2)).astype(float)  # sums of integers are exact
    whole = stats.bootstrap_means(values, resamples=100)
    monkeypatch.setattr(stats, "_DRAWS_AT_ONCE", 70)
    assert (stats.bootstrap_means(values, resamples=100) == whole).all()


def test_no_report_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one report"):
        stats.bootstrap_means(np.empty((0, 2)))


def test_a_nan_is_an_error_and_never_drops_out_of_a_mean() -> None:
    with pytest.raises(ValueError, match="not finite"):
        stats.bootstrap_means(np.array([[0.1], [np.nan]]))


def test_a_paired_difference_is_surer_than_its_parts() -> None:
    random = np.random.default_rng(0)
    theirs = random.random((100, 1))
    ours = theirs + 0.02 + 0.01 * random.random((100, 1))
    mean, bounds = stats.paired_difference(ours, theirs)
    assert mean[0] == pytest.approx((ours - theirs).mean())
    assert 0.02 < bounds[0, 0] < mean[0] < bounds[1, 0] < 0.03
    apart = stats.interval(stats.bootstrap_means(theirs))
    assert apart[1, 0] - apart[0, 0] > 10 * (bounds[1, 0] - bounds[0, 0])


def test_equal_systems_do_not_differ() -> None:
    values = np.random.default_rng(0).random((20, 2))
    mean, bounds = stats.paired_difference(values, values)
    assert mean.tolist() == [0, 0]
    assert bounds.tolist() == [[0, 0], [0, 0]]


def test_a_difference_needs_the_same_reports() -> None:
    with pytest.raises(ValueError, match="not the same reports"):
        stats.paired_difference(np.zeros((2, 1)), np.zeros((3, 1)))
