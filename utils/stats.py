"""How sure are we? Intervals and paired tests for scores of one question each.

Every score in the course is a mean over questions, and questions about one product are not
independent: a product that is hard to find is hard to find five times. So whole products
(clusters) are drawn again, never single questions.

* Intervals: the percentile bootstrap of Efron & Tibshirani, *An Introduction to the Bootstrap*
  (1993), chapter 13, with clusters as the unit that is drawn.
* Two systems on the same questions: a sign-flip permutation test (the same book, chapter 15) or,
  for right/wrong answers, McNemar's exact test (McNemar 1947).
* Many tests at once: Holm's step-down correction (Holm 1979).
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

Values = Sequence[float] | np.ndarray
Clusters = Sequence[Hashable] | np.ndarray | None

PERMUTATIONS_AT_ONCE = 1000


@dataclass(frozen=True)
class Interval:
    """An estimate with the interval that goes with it.

    ``estimate``, ``low`` and ``high`` are in the unit of the values (0 to 1 for a share of right
    answers). ``n`` counts values, ``clusters`` the independent groups among them. ``method`` is
    "bootstrap", or "exact" where all values were equal (see `bootstrap`).
    """

    estimate: float
    low: float
    high: float
    n: int
    clusters: int | None = None
    method: str = "bootstrap"

    def __str__(self) -> str:
        """As a percentage: ``71.3 % [65.0, 77.1] (n = 300)``."""
        return self.text()

    def text(self, unit: str = "%", digits: int = 1) -> str:
        """The interval in words; with ``unit="%"`` shares are multiplied by 100.

        >>> Interval(0.713, 0.65, 0.771, n=300).text()
        '71.3 % [65.0, 77.1] (n = 300)'
        >>> Interval(0.713, 0.65, 0.771, n=300).text(unit="", digits=2)
        '0.71 [0.65, 0.77] (n = 300)'
        """
        scale = 100 if unit == "%" else 1
        # Adding 0.0 turns a rounded "-0.0" into "0.0".
        estimate, low, high = (
            f"{round(scale * value, digits) + 0.0:.{digits}f}"
            for value in (self.estimate, self.low, self.high)
        )
        space = " " if unit else ""
        return f"{estimate}{space}{unit} [{low}, {high}] (n = {self.n})"


def bootstrap(
    values: Values,
    clusters: Clusters = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    support: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """Interval for the mean of ``values``, by drawing whole clusters with replacement.

    ``values``: one score per question. ``clusters``: what each question belongs to (for instance
    the product's name), same length; None treats every question as independent. ``support``: the
    smallest and largest value that a score can take.

    When all values are equal (all right, or all wrong) every resample is equal too, and the
    bootstrap would claim to be certain. Then the interval is the exact binomial one instead
    (Clopper & Pearson 1934; the "rule of three" is its rule of thumb): of ``m`` clusters none
    differed, so at most ``1 - (alpha / 2) ** (1 / m)`` of all clusters may, and those may lie
    anywhere in ``support``. Clusters and not values are counted, which is the cautious choice.

    With fewer than about 20 clusters, or nearly equal values, a percentile interval is somewhat
    too narrow.

    Raises ValueError for no values, fewer than two clusters, NaN, or unequal lengths.
    """
    values, codes = _checked(values, clusters)
    _check_confidence(confidence)
    if resamples < 100:
        raise ValueError(f"resamples is {resamples}; an interval needs at least 100.")
    cluster_sizes = np.bincount(codes)
    number = len(cluster_sizes)
    if number < 2:
        raise ValueError(
            "All values belong to one cluster, so nothing can be said about other clusters. "
            "Give at least two clusters."
        )
    estimate = float(values.mean())
    if np.ptp(values) == 0:
        low, high = _interval_of_equal_values(estimate, number, confidence, support)
        return Interval(estimate, low, high, len(values), number, method="exact")

    cluster_sums = np.bincount(codes, weights=values)
    drawn = np.random.default_rng(seed).integers(number, size=(resamples, number))
    means = cluster_sums[drawn].sum(axis=1) / cluster_sizes[drawn].sum(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high), len(values), number)


def paired_difference(
    a: Values,
    b: Values,
    clusters: Clusters = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Interval for the mean of ``b - a``, two systems' scores (0 to 1) on the same questions."""
    a, b = _checked_pair(a, b)
    return bootstrap(b - a, clusters, confidence, resamples, seed, support=(-1.0, 1.0))


def paired_permutation(
    a: Values,
    b: Values,
    clusters: Clusters = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> float:
    """Two-sided p-value for "``a`` and ``b`` score the same on average".

    If the two systems were alike, their names could be swapped. So the names are swapped at
    random, for all questions of a cluster together, and p is the share of swaps whose mean
    difference is at least as large as the one seen. All swaps are tried where they are no more
    than ``resamples``; otherwise the swap that was really seen counts as one of them, so p is
    never 0 (Phipson & Smyth 2010).

    Raises ValueError for no values, NaN, or unequal lengths.
    """
    a, b = _checked_pair(a, b)
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; at least one is needed.")
    difference, codes = _checked(b - a, clusters)
    sums = np.bincount(codes, weights=difference)
    # Sums of the same numbers in another order may differ in the last bits.
    seen = abs(sums.sum()) - 1e-9
    if 2 ** len(sums) <= resamples:
        signs = 2 * _all_bit_patterns(len(sums)) - 1
        return float(np.mean(np.abs(signs @ sums) >= seen))

    generator = np.random.default_rng(seed)
    as_large = 0
    for start in range(0, resamples, PERMUTATIONS_AT_ONCE):
        rows = min(PERMUTATIONS_AT_ONCE, resamples - start)
        signs = 2.0 * generator.integers(2, size=(rows, len(sums))) - 1
        as_large += int(np.sum(np.abs(signs @ sums) >= seen))
    return (as_large + 1) / (resamples + 1)


def mcnemar(a: Values, b: Values) -> float:
    """Exact two-sided p-value for two systems' right (1) or wrong (0) answers.

    Only questions on which the systems disagree count: if they were alike, each would win about
    half of those (McNemar 1947, with the binomial distribution in place of chi-squared).
    Questions count as independent; where they come in clusters use `paired_permutation`.

    Raises ValueError for no values, unequal lengths, or anything but 0 and 1.
    """
    a, b = _checked_pair(a, b)
    if not np.isin(np.concatenate([a, b]), (0, 1)).all():
        raise ValueError("McNemar's test needs right or wrong (1 or 0) for every question.")
    only_a = int(np.sum((a == 1) & (b == 0)))
    only_b = int(np.sum((a == 0) & (b == 1)))
    if only_a + only_b == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue)


def holm(p_values: Values) -> list[float]:
    """Holm's adjusted p-values, in the order given.

    Comparing each with 0.05 keeps the chance of even one false alarm among them below 5 %.
    Raises ValueError for p-values outside 0 to 1.
    """
    p_values = np.asarray(p_values, dtype=float)
    if p_values.ndim != 1:
        raise ValueError("p_values must be a flat list of numbers.")
    if len(p_values) == 0:
        return []
    if not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError("Each p-value must lie between 0 and 1.")
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(p_values, method="holm")[1]]


def _interval_of_equal_values(
    value: float, clusters: int, confidence: float, support: tuple[float, float]
) -> tuple[float, float]:
    """Clopper and Pearson's interval for ``clusters`` draws that were all alike."""
    smallest, largest = support
    if not smallest <= value <= largest:
        warnings.warn(
            f"All values are {value:g} and lie outside support={support}: the interval has no "
            "width and says nothing. Pass the smallest and largest possible value as support.",
            stacklevel=3,
        )
        return value, value
    others = 1 - ((1 - confidence) / 2) ** (1 / clusters)
    return value - others * (value - smallest), value + others * (largest - value)


def _all_bit_patterns(bits: int) -> np.ndarray:
    """All ``2 ** bits`` rows of zeros and ones, shape (2 ** bits, bits)."""
    return (np.arange(2**bits)[:, None] >> np.arange(bits)) & 1


def _checked(values: Values, clusters: Clusters) -> tuple[np.ndarray, np.ndarray]:
    """Values as floats and, for each, the number of its cluster."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1:
        raise ValueError(f"values must be a flat list, not an array of shape {values.shape}.")
    if len(values) == 0:
        raise ValueError("There are no values: was the list of questions empty?")
    if not np.isfinite(values).all():
        missing = int(np.sum(~np.isfinite(values)))
        raise ValueError(
            f"{missing} of {len(values)} values are NaN or infinite. Score or drop them first."
        )
    if clusters is None:
        return values, np.arange(len(values))
    clusters = list(clusters)
    if len(clusters) != len(values):
        raise ValueError(
            f"{len(values)} values but {len(clusters)} clusters: give one cluster per value."
        )
    number_of = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
    return values, np.array([number_of[name] for name in clusters])


def _checked_pair(a: Values, b: Values) -> tuple[np.ndarray, np.ndarray]:
    a, _ = _checked(a, None)
    b, _ = _checked(b, None)
    if len(a) != len(b):
        raise ValueError(
            f"a has {len(a)} values and b {len(b)}: both need the same questions in one order."
        )
    return a, b


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1, as in 0.95.")
