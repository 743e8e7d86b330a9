"""Exercises without their solutions: for a class, what is right is kept, not how it is found.

A lesson's file holds, for each exercise, the inputs of the lesson's own check, the right outcomes,
and those of each known mistake. `check` says the same words with it as with the functions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from utils import observing
from utils.judging import PUBLIC_SEED, Exercise, Mistake, Outcome, answer_key
from utils.wire import pack, pack_outcome, unpack, unpack_outcome

PLAIN = ("key", "title", "function", "task", "points", "tolerance", "kind")

MODULE = '''"""Exercises of lesson {lesson:02d}: what is right lies beside; no solution does."""

from pathlib import Path

from utils.kept_exercises import read_exercises

EXERCISES = read_exercises(Path(__file__).with_suffix(".json"))
'''


def keep_exercises(exercises: Sequence[Exercise]) -> str:
    """The exercises of a lesson as text, for `read_exercises`."""
    return json.dumps([_keep(exercise) for exercise in exercises]) + "\n"


def read_exercises(path: Path) -> tuple[Exercise, ...]:
    """The exercises that a file holds. Raises ValueError where it is damaged."""
    try:
        return tuple(_read(kept) for kept in json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: take it anew from the class's folder.") from error


def _keep(exercise: Exercise) -> dict:
    key = answer_key(exercise, PUBLIC_SEED)
    named = {"observe": exercise.observe, "compare": exercise.compare}
    return {
        **{name: getattr(exercise, name) for name in PLAIN},
        **{name: function and _in_observing(function) for name, function in named.items()},
        "mistakes": [mistake.message for mistake in exercise.mistakes],
        "cases": [pack(case) for case in key.cases],
        "expected": _pack_all(key.expected),
        "mistaken": [_pack_all(outcomes) for outcomes in key.mistaken],
    }


def _read(kept: dict) -> Exercise:
    cases = [unpack(case) for case in kept["cases"]]
    expected = _unpack_all(kept["expected"])
    mistaken = [_unpack_all(outcomes) for outcomes in kept["mistaken"]]
    return Exercise(
        **{name: kept[name] for name in PLAIN},
        **{name: kept[name] and getattr(observing, kept[name]) for name in ("observe", "compare")},
        inputs=lambda seed: cases,
        reference=_not_here,
        mistakes=tuple(Mistake(message, _not_here) for message in kept["mistakes"]),
        kept=(cases, expected, mistaken),
    )


def _not_here(*arguments):
    raise LookupError("A class's exercises hold no solutions.")


def _in_observing(function) -> str:
    if getattr(observing, function.__name__, None) is not function:
        raise ValueError(f"{function.__name__} must stand in utils/observing.py.")
    return function.__name__


def _pack_all(outcomes: Sequence[Outcome]) -> list[dict]:
    # Lines of our own functions say nothing to a learner.
    return [{**pack_outcome(outcome), "line": ""} for outcome in outcomes]


def _unpack_all(packed: Sequence[dict]) -> list[Outcome]:
    return [unpack_outcome(outcome) for outcome in packed]
