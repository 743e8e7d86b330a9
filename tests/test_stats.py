"""Intervals cover what they promise; tests agree with scipy and statsmodels; bad input is named."""

import warnings

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.proportion import proportion_confint

from utils.stats import (
    Interval,
    bootstrap,
    holm,
    mcnemar,
    paired_difference,
    paired_permutation,
)


def clustered_answers(generator, clusters=60, size=5, spread=1.0):
    """Right/wrong answers whose chance differs from cluster to cluster; the true mean is 0.5."""
    chance = scipy_stats.norm.cdf(generator.normal(0, spread, size=clusters))
    answers = generator.random((clusters, size)) < chance[:, None]
    return answers.astype(float).ravel(), np.repeat(np.arange(clusters), size)


def coverage(use_clusters, trials=500):
    generator = np.random.default_rng(1)
    hits = 0
    for trial in range(trials):
        values, clusters = clustered_answers(generator)
        interval = bootstrap(values, clusters if use_clusters else None, resamples=400, seed=trial)
        hits += interval.low <= 0.5 <= interval.high
    return hits / trials


def test_clustered_interval_covers_the_truth_about_95_times_in_100():
    assert 0.92 <= coverage(use_clusters=True) <= 0.98


def test_ignoring_clusters_covers_too_seldom():
    # The reason for drawing clusters: without them the promise of 95 % is broken.
    assert coverage(use_clusters=False) < 0.90


def test_unclustered_interval_agrees_with_scipy():
    values = np.random.default_rng(3).gamma(2.0, size=200)
    ours = bootstrap(values, resamples=9999, seed=5)
    theirs = scipy_stats.bootstrap(
        (values,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(6)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.estimate == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_clusters_of_one_are_the_same_as_no_clusters():
    values = np.random.default_rng(3).random(50)
    assert bootstrap(values, clusters=range(50)) == bootstrap(values)


def test_each_value_repeated_in_its_cluster_adds_no_certainty():
    values = (np.random.default_rng(4).random(80) < 0.7).astype(float)
    once = bootstrap(values)
    tenfold = bootstrap(np.repeat(values, 10), clusters=np.repeat(np.arange(80), 10))
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high))
    assert (tenfold.n, tenfold.clusters) == (800, 80)


def test_clusters_of_unequal_size_keep_every_value_at_equal_weight():
    interval = bootstrap([1, 1, 1, 0], clusters=["a", "a", "a", "b"])
    assert interval.estimate == 0.75
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_higher_confidence_is_wider_and_the_seed_decides():
    values = np.random.default_rng(5).random(100)
    narrow, wide = bootstrap(values, confidence=0.5), bootstrap(values, confidence=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert bootstrap(values, seed=1) == bootstrap(values, seed=1)
    assert bootstrap(values, seed=1) != bootstrap(values, seed=2)


@pytest.mark.parametrize("right", [0, 1])
def test_all_right_or_all_wrong_gives_the_exact_interval(right):
    interval = bootstrap([right] * 40)
    expected = proportion_confint(40 * right, 40, method="beta")
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert interval.method == "exact"
    assert interval.high - interval.low > 0.05


def test_all_right_counts_clusters_and_not_answers():
    interval = bootstrap([1] * 300, clusters=np.repeat(np.arange(60), 5))
    assert interval.low == pytest.approx(proportion_confint(60, 60, method="beta")[0])


def test_no_difference_at_all_is_uncertain_on_both_sides():
    interval = paired_difference([1, 0] * 20, [1, 0] * 20)
    assert interval.estimate == 0
    assert interval.low == pytest.approx(-interval.high)
    assert interval.high > 0.05


def test_equal_values_outside_their_support_are_warned_about():
    with pytest.warns(UserWarning, match="support"):
        interval = bootstrap([12.0] * 10)
    assert (interval.low, interval.high) == (12.0, 12.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bootstrap([12.0] * 10, support=(0, 60)).high > 12.0


def test_paired_difference_is_b_minus_a():
    interval = paired_difference([0] * 30 + [1] * 30, [1] * 60)
    assert interval.estimate == 0.5
    assert 0.3 < interval.low < 0.5 < interval.high < 0.7


@pytest.mark.parametrize(
    ("values", "clusters", "message"),
    [
        ([], None, "no values"),
        ([0.5, float("nan")], None, "1 of 2 values are NaN"),
        ([0.5, float("inf")], None, "infinite"),
        ([0, 1, 1], ["a", "b"], "3 values but 2 clusters"),
        ([0, 1], ["a", "a"], "one cluster"),
        ([1], None, "one cluster"),
        ([[0, 1], [1, 0]], None, "flat"),
    ],
)
def test_bootstrap_says_what_is_wrong(values, clusters, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(values, clusters)


def test_bootstrap_refuses_senseless_settings():
    with pytest.raises(ValueError, match="0.95"):
        bootstrap([0, 1], confidence=95)
    with pytest.raises(ValueError, match="at least 100"):
        bootstrap([0, 1], resamples=3)


def test_permutation_p_is_uniform_when_nothing_differs():
    generator = np.random.default_rng(7)
    p_values = []
    clusters = np.repeat(np.arange(30), 5)
    for trial in range(400):
        # Two systems alike: the scores of a product vary together, but the names mean nothing.
        a, b = generator.normal(size=(2, 30)).repeat(5, axis=1) + generator.normal(size=(2, 150))
        p_values.append(paired_permutation(a, b, clusters, resamples=400, seed=trial))
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.03)
    assert scipy_stats.kstest(p_values, "uniform").pvalue > 0.001


def test_permutation_ignoring_clusters_raises_false_alarms():
    generator = np.random.default_rng(7)
    with_clusters, without = [], []
    for trial in range(200):
        a, clusters = clustered_answers(generator, clusters=30, spread=3)
        b, _ = clustered_answers(generator, clusters=30, spread=3)
        with_clusters.append(paired_permutation(a, b, clusters, resamples=400, seed=trial))
        without.append(paired_permutation(a, b, resamples=400, seed=trial))
    assert np.mean(np.array(with_clusters) <= 0.05) < 0.09
    assert np.mean(np.array(without) <= 0.05) > 0.15


def test_few_clusters_are_enumerated_and_agree_with_scipy():
    generator = np.random.default_rng(8)
    a, b = generator.random(9), generator.random(9) + 0.3
    expected = scipy_stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
    ).pvalue
    assert paired_permutation(a, b) == pytest.approx(expected)


def test_sampled_permutations_agree_with_all_of_them():
    generator = np.random.default_rng(9)
    a, b = generator.random(12), generator.random(12) + 0.15
    exact = paired_permutation(a, b, resamples=5000)
    assert 0.01 < exact < 0.5
    assert paired_permutation(a, b, resamples=4000) == pytest.approx(exact, abs=0.03)


def test_permutation_is_two_sided_symmetric_and_never_zero():
    a, b = [0] * 100, [1] * 100
    assert paired_permutation(a, b, resamples=999) == 1 / 1000
    assert paired_permutation(b, a, resamples=999) == 1 / 1000
    assert paired_permutation(a, a, resamples=999) == 1.0


@pytest.mark.parametrize("function", [paired_permutation, mcnemar, paired_difference])
def test_paired_tests_name_bad_input(function):
    with pytest.raises(ValueError, match="a has 3 values and b 2"):
        function([1, 0, 1], [1, 0])
    with pytest.raises(ValueError, match="no values"):
        function([], [])
    with pytest.raises(ValueError, match="NaN"):
        function([1, float("nan")], [1, 0])


@pytest.mark.parametrize(("only_a", "only_b"), [(3, 12), (7, 7), (0, 5), (1, 0)])
def test_mcnemar_agrees_with_statsmodels(only_a, only_b):
    a = [1] * only_a + [0] * only_b + [1] * 20 + [0] * 10
    b = [0] * only_a + [1] * only_b + [1] * 20 + [0] * 10
    expected = statsmodels_mcnemar([[20, only_a], [only_b, 10]], exact=True).pvalue
    assert mcnemar(a, b) == pytest.approx(expected)


def test_mcnemar_without_disagreement_and_with_partial_scores():
    assert mcnemar([1, 0, 1], [True, False, True]) == 1.0
    with pytest.raises(ValueError, match="1 or 0"):
        mcnemar([0.5, 1], [1, 0])


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.04 times 3, 2, 1, never falling; handed back in the order given.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@pytest.mark.parametrize("p_values", [[0.5, float("nan")], [1.2], [-0.1]])
def test_holm_refuses_what_is_no_probability(p_values):
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm(p_values)


def test_interval_in_words():
    interval = Interval(0.713, 0.65, 0.771, n=300)
    assert str(interval) == "71.3 % [65.0, 77.1] (n = 300)"
    assert interval.text(unit="s", digits=2) == "0.71 s [0.65, 0.77] (n = 300)"
    assert str(Interval(-0.0001, -0.0002, 0.0, n=3)).startswith("0.0 % [0.0, 0.0]")
