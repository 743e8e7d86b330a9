"""Exercises of lesson 07: inputs, references and the mistakes that learners make."""

from __future__ import annotations

import random
from math import comb

import numpy as np

from utils.checks import Exercise, Mistake
from utils.stats import mcnemar

# --- 7.1 the four cells ---------------------------------------------------------------------

MODELS = ("base", "tuned")
WAYS = ("closed book", "retrieval")
Records = list[tuple[str, str, int]]


def _records(seed: int) -> list[tuple[Records]]:
    """Records (model, way, right) in mixed order; the four cells differ in size and in score."""
    draw = random.Random(seed)
    fixed = [
        ("base", "closed book", 0),
        ("tuned", "closed book", 1),
        ("base", "retrieval", 1),
        ("tuned", "retrieval", 1),
        ("tuned", "closed book", 0),
        ("base", "retrieval", 1),
        ("tuned", "closed book", 1),
        ("base", "retrieval", 0),
    ]
    drawn = [
        (model, way, right)
        for (model, way), answers in {
            ("base", "closed book"): [0, 0, 0, 1],
            ("base", "retrieval"): [1, 1, 1, 0, 1],
            ("tuned", "closed book"): [1, 0, 1],
            ("tuned", "retrieval"): [1, 1, 1, 1, 1, 0],
        }.items()
        for right in answers
    ]
    draw.shuffle(drawn)
    return [(fixed,), (drawn,)]


def _cells(records: Records) -> dict[tuple[str, str], list[int]]:
    return {
        (model, way): [right for m, w, right in records if (m, w) == (model, way)]
        for model in MODELS
        for way in WAYS
    }


def _table(records: Records, number) -> dict[str, dict[str, float]]:
    """The 2 x 2 table whose cells hold `number(answers of the cell)`."""
    cells = _cells(records)
    return {model: {way: number(cells[model, way]) for way in WAYS} for model in MODELS}


def _by_way_first(records: Records) -> dict[str, dict[str, float]]:
    table = _table(records, np.mean)
    return {way: {model: float(table[model][way]) for model in MODELS} for way in WAYS}


def _one_way_for_both(records: Records) -> dict[str, dict[str, float]]:
    cells = _cells(records)
    return {
        model: {way: float(np.mean([r for w in WAYS for r in cells[model, w]])) for way in WAYS}
        for model in MODELS
    }


FOUR_CELLS = Exercise(
    key="q7_1",
    title="the four cells",
    function="my_four_cells",
    task="Return table[model][way]: in each of the four cells the share of right answers.",
    inputs=_records,
    reference=lambda records: _table(records, lambda right: sum(right) / len(right)),
    mistakes=(
        Mistake(
            "You return how many answers are right. "
            "Cells may hold unequal numbers of questions: divide by the cell's own number.",
            lambda records: _table(records, sum),
        ),
        Mistake(
            "You divide by all records together. "
            "A share belongs to one cell: divide by the number of answers in that cell.",
            lambda records: _table(records, lambda right: sum(right) / len(records)),
        ),
        Mistake(
            "Each record overwrites the one before it, so only the last answer of a cell is left. "
            "Collect all answers of a cell first.",
            lambda records: _table(records, lambda right: float(right[-1])),
        ),
        Mistake(
            "Both ways of asking show the same number: you mix them. "
            "The tuned model's closed-book answers must not gain from the retriever.",
            _one_way_for_both,
        ),
        Mistake(
            "Your table starts with the way of asking. The model comes first: "
            'table["base"]["retrieval"].',
            _by_way_first,
        ),
    ),
)

# --- 7.2 the seeds first --------------------------------------------------------------------

Runs = list[dict[str, int]]


def _runs(seed: int) -> list[tuple[Runs]]:
    """Right (1) or wrong (0) by question id, one dictionary a seed, each in an order of its own."""
    draw = random.Random(seed)
    fixed = [
        {"k340/colour": 1, "k340/town": 0, "k350/colour": 1, "k350/town": 1},
        {"k350/town": 0, "k350/colour": 1, "k340/town": 1, "k340/colour": 1},
        {"k340/town": 0, "k350/colour": 0, "k340/colour": 1, "k350/town": 0},
    ]
    ids = [f"{name}/{attribute}" for name in ("t1", "t2") for attribute in ("month", "town")]
    answers = ([1, 0, 0, 1], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0])
    drawn = []
    for row in answers:
        pairs = list(zip(ids, row, strict=True))
        drawn.append(dict(draw.sample(pairs, len(pairs))))
    drawn[1] = {name: drawn[1][name] for name in reversed(list(drawn[0]))}  # never the same order
    return [(fixed,), (drawn,)]


def _over_seeds(runs: Runs, number) -> dict[str, float]:
    return {name: number([run[name] for run in runs]) for name in runs[0]}


def _by_position(runs: Runs) -> dict[str, float]:
    rows = [list(run.values()) for run in runs]
    return {
        name: sum(column) / len(runs)
        for name, column in zip(runs[0], zip(*rows, strict=True), strict=True)
    }


SEEDS_FIRST = Exercise(
    key="q7_2",
    title="the seeds first",
    function="my_mean_over_seeds",
    task="Return for each question id the share of the seeds that got it right.",
    inputs=_runs,
    reference=lambda runs: _over_seeds(runs, lambda column: float(np.mean(column))),
    mistakes=(
        Mistake(
            "You return one number for each seed. That is the spread of the training; "
            "here each question should get one number, its mean over the seeds.",
            lambda runs: [sum(run.values()) / len(run) for run in runs],
        ),
        Mistake(
            "You pair the answers by their position, but each run lists its questions in an order "
            "of its own. Look every question up by its id.",
            _by_position,
        ),
        Mistake(
            "You let the seeds vote. A question that two seeds of three get right counts as two "
            "thirds; rounding it up makes the model look surer than it is.",
            lambda runs: _over_seeds(runs, lambda column: float(sum(column) > len(column) / 2)),
        ),
        Mistake(
            "You add the answers up. Divide by the number of seeds.",
            lambda runs: _over_seeds(runs, sum),
        ),
        Mistake(
            "Only one seed is left in your result. Use the answers of all of them.",
            lambda runs: _over_seeds(runs, lambda column: float(column[-1])),
        ),
    ),
)

# --- 7.3 whole products are drawn -----------------------------------------------------------


def _resamples(seed: int) -> list[tuple[list[float], list[str], list[list[str]]]]:
    """Scores, the product of each, and products drawn with replacement, twelve times."""
    draw = random.Random(seed)
    values = [1, 1, 0, 0, 1, 0, 0, 1, 0.5]
    products = ["a", "a", "a", "b", "b", "c", "d", "d", "d"]
    names = sorted(set(products))
    cases = []
    for _ in range(2):
        drawn = [[draw.choice(names) for _ in names] for _ in range(11)]
        # Draws with a repeat and with none, whatever the seed.
        cases.append((values, products, [["a", "a", "b", "c"], *drawn]))
    return cases


def _drawn_means(values, products, drawn) -> list[float]:
    """The mean over all questions of the drawn products; twice drawn, twice counted."""
    means = []
    for names in drawn:
        scores = [v for name in names for v, p in zip(values, products, strict=True) if p == name]
        means.append(float(np.mean(scores)))
    return means


def _drawn_once(values, products, drawn) -> list[float]:
    pairs = list(zip(values, products, strict=True))
    return [float(np.mean([v for v, p in pairs if p in names])) for names in drawn]


def _mean_of_product_means(values, products, drawn) -> list[float]:
    pairs = list(zip(values, products, strict=True))
    own = {name: float(np.mean([v for v, p in pairs if p == name])) for name in set(products)}
    return [float(np.mean([own[name] for name in names])) for names in drawn]


def _quantiles(means: list[float], low: float, high: float) -> list[float]:
    return [float(np.quantile(means, low)), float(np.quantile(means, high))]


def _normal_interval(values, products, drawn) -> list[float]:
    error = np.std(values) / len(values) ** 0.5
    return [float(np.mean(values) - 1.96 * error), float(np.mean(values) + 1.96 * error)]


CLUSTERS = Exercise(
    key="q7_3",
    title="whole products are drawn",
    function="my_cluster_interval",
    task="Return [low, high]: the quantiles 0.025 and 0.975 of the means of all draws.",
    inputs=_resamples,
    points=3,
    reference=lambda values, products, drawn: _quantiles(
        _drawn_means(values, products, drawn), 0.025, 0.975
    ),
    mistakes=(
        Mistake(
            "A product that was drawn twice counts once in your mean. Drawing with replacement "
            "means that all of its questions come twice: go through the drawn names one by one.",
            lambda *case: _quantiles(_drawn_once(*case), 0.025, 0.975),
        ),
        Mistake(
            "You average the products' own means, so a product with one question weighs as much as "
            "one with three. Take the mean over all questions that the draw brings in.",
            lambda *case: _quantiles(_mean_of_product_means(*case), 0.025, 0.975),
        ),
        Mistake(
            "You cut off 5 % at each end, which leaves a 90 % interval. "
            "A 95 % interval leaves 2.5 % on either side.",
            lambda *case: _quantiles(_drawn_means(*case), 0.05, 0.95),
        ),
        Mistake(
            "You return the smallest and the largest mean. They move apart with every further "
            "draw; quantiles settle down.",
            lambda *case: _quantiles(_drawn_means(*case), 0.0, 1.0),
        ),
        Mistake(
            "This is the textbook interval for independent questions: the draws are not used. "
            "Questions about one product hang together.",
            _normal_interval,
        ),
    ),
)

# --- 7.4 McNemar's test ---------------------------------------------------------------------


def _pairs(seed: int) -> list[tuple[list[int], list[int]]]:
    """Right or wrong answers of two systems to the same questions."""
    draw = random.Random(seed)
    cases = []
    for both, only_a, only_b, neither in ((5, 1, 6, 2), (2, 7, 2, 1), (4, 3, 3, 2), (3, 0, 0, 2)):
        kinds = [(1, 1)] * both + [(1, 0)] * only_a + [(0, 1)] * only_b + [(0, 0)] * neither
        draw.shuffle(kinds)
        cases.append(([a for a, _ in kinds], [b for _, b in kinds]))
    return cases


def _tail(smaller: int, n: int) -> float:
    """The chance of at most `smaller` heads in n throws of a fair coin."""
    return sum(comb(n, k) for k in range(smaller + 1)) / 2**n


def _only(a: list[int], b: list[int]) -> tuple[int, int]:
    pairs = list(zip(a, b, strict=True))
    return pairs.count((1, 0)), pairs.count((0, 1))


def _chi_squared(a: list[int], b: list[int]) -> float:
    from scipy.stats import chi2

    only_a, only_b = _only(a, b)
    if only_a + only_b == 0:
        return 1.0
    return float(chi2.sf((only_a - only_b) ** 2 / (only_a + only_b), df=1))


MCNEMAR = Exercise(
    key="q7_4",
    title="McNemar's exact test",
    function="my_mcnemar",
    task="Return the exact two-sided p-value, from the questions on which a and b disagree.",
    inputs=_pairs,
    points=3,
    reference=mcnemar,
    mistakes=(
        Mistake(
            "Your p-value is one-sided. Either system could have won: double the tail.",
            lambda a, b: _tail(min(_only(a, b)), sum(_only(a, b))),
        ),
        Mistake(
            "Doubling the tail can pass 1 when both win equally often. A p-value is at most 1.",
            lambda a, b: 2 * _tail(min(_only(a, b)), sum(_only(a, b))),
        ),
        Mistake(
            "You throw the coin once for every question. Questions that both get right, or both "
            "get wrong, say nothing about which is better: count the disagreements alone.",
            lambda a, b: min(1.0, 2 * _tail(min(_only(a, b)), len(a))),
        ),
        Mistake(
            "You compare the two totals of right answers, as if the systems had been asked "
            "different questions. Pair them: on which questions is exactly one of them right?",
            lambda a, b: min(1.0, 2 * _tail(min(sum(a), sum(b)), sum(a) + sum(b))),
        ),
        Mistake(
            "That is the chi-squared approximation. With so few disagreements "
            "use the coin's own distribution, the binomial.",
            _chi_squared,
        ),
    ),
)

EXERCISES = (FOUR_CELLS, SEEDS_FIRST, CLUSTERS, MCNEMAR)
