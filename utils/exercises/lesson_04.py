"""Exercises of lesson 04: inputs, references and the mistakes that learners make."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from utils.checks import Exercise, Mistake
from utils.ledger import make_ledger

CELLS = ("found, right", "found, wrong", "missed, right", "missed, wrong")

# --- 4.1 the ledger ---------------------------------------------------------------------------


def _found_and_right(seed: int) -> list[tuple[list[bool], list[bool]]]:
    """For each question, whether its place was found, and whether its answer is right."""
    draw = random.Random(seed)
    fixed = [
        ([True, True, True, False, False], [True, False, False, False, False]),
        ([True, False], [True, True]),
    ]
    drawn = [
        ([draw.random() < 0.7 for _ in range(size)], [draw.random() < 0.4 for _ in range(size)])
        for size in (9, 14)
    ]
    return [*fixed, *drawn]


def _cells(found: list[bool], right: list[bool]) -> dict[str, int]:
    ledger = make_ledger(found, right)
    counts = (ledger.found_right, ledger.found_wrong, ledger.missed_right, ledger.missed_wrong)
    return dict(zip(CELLS, counts, strict=True))


def _shares(found: list[bool], right: list[bool]) -> dict[str, float]:
    return {cell: count / len(found) for cell, count in _cells(found, right).items()}


def _rows_and_columns_swapped(found: list[bool], right: list[bool]) -> dict[str, int]:
    cells = _cells(found, right)
    swapped = {"found, wrong": cells["missed, right"], "missed, right": cells["found, wrong"]}
    return cells | swapped


def _margins(found: list[bool], right: list[bool]) -> dict[str, int]:
    """Counts each of the two things alone."""
    return {
        "found, right": sum(found),
        "found, wrong": len(right) - sum(right),
        "missed, right": sum(right),
        "missed, wrong": len(found) - sum(found),
    }


def _only_what_occurs(found: list[bool], right: list[bool]) -> dict[str, int]:
    return {cell: count for cell, count in _cells(found, right).items() if count}


LEDGER = Exercise(
    key="q4_1",
    title="the ledger",
    function="my_ledger",
    task="Count the four cells in a dictionary with the keys `found, right` and so on.",
    inputs=_found_and_right,
    reference=_cells,
    mistakes=(
        Mistake(
            "You return shares. The ledger counts: how many questions fall into each cell?",
            _shares,
        ),
        Mistake(
            "Two cells are exchanged. The first word says whether the place was found, the second "
            "whether the answer is right.",
            _rows_and_columns_swapped,
        ),
        Mistake(
            "You count what was found and what is right apart. A cell counts questions for which "
            "both of its words are true; `zip(found, right)` goes through both lists at once.",
            _margins,
        ),
        Mistake(
            "A cell into which nothing falls is missing. It belongs there with a 0.",
            _only_what_occurs,
        ),
    ),
)

# --- 4.2 what a step gains ---------------------------------------------------------------------


def _before_and_after(seed: int) -> list[tuple[list[int], list[int]]]:
    """Right (1) or wrong (0), for the same questions before and after a step."""
    draw = random.Random(seed)
    fixed = [([0, 0, 1, 1], [1, 1, 0, 1]), ([1, 0], [1, 0]), ([1, 1, 0], [0, 0, 1])]
    drawn = [
        ([draw.randint(0, 1) for _ in range(size)], [draw.randint(0, 1) for _ in range(size)])
        for size in (10, 15)
    ]
    return [*fixed, *drawn]


def _mended_and_broken(before: list[int], after: list[int]) -> tuple[int, int]:
    changes = [b - a for a, b in zip(before, after, strict=True)]
    return changes.count(1), changes.count(-1)


def _net_only(before: list[int], after: list[int]) -> tuple[int, int]:
    change = sum(after) - sum(before)
    return max(change, 0), max(-change, 0)


def _states_not_changes(before: list[int], after: list[int]) -> tuple[int, int]:
    return sum(after), len(after) - sum(after)


STEP = Exercise(
    key="q4_2",
    title="what a step mends and breaks",
    function="my_mended_and_broken",
    task="Return two numbers: how many answers a step mended, and how many it broke.",
    inputs=_before_and_after,
    reference=_mended_and_broken,
    mistakes=(
        Mistake(
            "You return the difference of the two sums. A step that mends five answers and breaks "
            "three looks like one that mends two: compare question by question.",
            _net_only,
        ),
        Mistake(
            "You count what is right and what is wrong after the step. Mended is only what was "
            "wrong before and is right after.",
            _states_not_changes,
        ),
        Mistake(
            "The two numbers are exchanged: first what was mended, then what was broken.",
            lambda before, after: _mended_and_broken(before, after)[::-1],
        ),
        Mistake(
            "You return shares. Count the questions.",
            lambda before, after: tuple(
                count / len(before) for count in _mended_and_broken(before, after)
            ),
        ),
    ),
)

# --- 4.3 eight bits ----------------------------------------------------------------------------


def _weights(seed: int) -> list[tuple[list[float]]]:
    """Short lists of weights, not all zero."""
    draw = random.Random(seed)
    fixed = [([0.5, -1.27, 0.013],), ([2.0, 1.0, -0.5],), ([-3.0, 0.1, 0.2, 2.9],)]
    drawn = [([round(draw.gauss(0, 0.3), 3) for _ in range(6)],) for _ in range(2)]
    return [*fixed, *drawn]


def _quantised(
    weights: list[float],
    steps: float = 127,
    largest: Callable[[np.ndarray], float] = lambda values: float(np.abs(values).max()),
    whole: Callable[[np.ndarray], np.ndarray] = np.rint,
) -> tuple[list[int], float]:
    values = np.array(weights)
    scale = largest(values) / steps
    return [int(number) for number in whole(values / scale)], scale


EIGHT_BITS = Exercise(
    key="q4_3",
    title="weights in eight bits",
    function="my_int8",
    task="Return the whole numbers from -127 to 127, and the scale.",
    inputs=_weights,
    reference=_quantised,
    tolerance=1e-9,
    mistakes=(
        Mistake(
            "You cut the decimals off. `round` goes to the nearest whole number and halves the "
            "largest error.",
            lambda weights: _quantised(weights, whole=np.trunc),
        ),
        Mistake(
            "Your scale comes from the largest weight, so a large negative one falls out of the "
            "range. Take the largest absolute value.",
            lambda weights: _quantised(weights, largest=lambda values: float(values.max())),
        ),
        Mistake(
            "You divide by 128, but the largest whole number here is 127.",
            lambda weights: _quantised(weights, steps=128),
        ),
        Mistake(
            "You divide by 255, so half of the numbers is never used: from -127 to 127 there are "
            "127 steps on each side of 0.",
            lambda weights: _quantised(weights, steps=255),
        ),
        Mistake(
            "Your scale is turned round. Whole number times scale should give the weight again.",
            lambda weights: (_quantised(weights)[0], 1 / _quantised(weights)[1]),
        ),
        Mistake(
            "You return the weights after the way there and back. Return the whole numbers, and "
            "the scale beside them.",
            lambda weights: (
                [number * _quantised(weights)[1] for number in _quantised(weights)[0]],
                _quantised(weights)[1],
            ),
        ),
    ),
)

EXERCISES = (LEDGER, STEP, EIGHT_BITS)
