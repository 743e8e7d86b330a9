"""`check("q2_1")` in a lesson: is my answer right, and if not, what is wrong with it?

In self-study a check never stops the notebook. Under nbgrader, which sets NBGRADER_EXECUTION while
it grades, an answer that is not right raises AssertionError with the same words, because that is
how nbgrader sees it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from utils.display import show_message
from utils.judging import PUBLIC_SEED, Exercise, Mistake, Result, judge
from utils.work import update_kept

__all__ = ["Exercise", "Mistake", "Result", "check", "check_answer"]

PROGRESS_FILE = "progress.json"
GRADING_VARIABLE = "INSIDE_OUTSIDE_GRADING"  # set where a stranger's answer runs for marks


def check(key: str, namespace: dict[str, Any] | None = None, seed: int = PUBLIC_SEED) -> None:
    """Check the answer to exercise `key` in the notebook's variables and say what is wrong with it.

    `namespace`: the variables to look in; by default the notebook's, or the caller's outside one.
    `seed`: draws the inputs; a class may have its own.
    Raises AssertionError when the answer is wrong, under nbgrader only.
    """
    if os.environ.get(GRADING_VARIABLE):
        return  # marks are given now, by other means
    if namespace is None:
        namespace = _notebook_variables() or sys._getframe(1).f_globals
    result = check_answer(key, namespace, seed)
    if os.environ.get("NBGRADER_EXECUTION"):
        if not result.solved:
            raise AssertionError(f"{key} {result.message}")
        return
    problem = update_kept(PROGRESS_FILE, lambda kept: _record(kept, result))
    show_message(f"{key} {result.message}", good=result.solved)
    if problem:
        show_message(problem, good=False)


def check_answer(key: str, namespace: dict[str, Any], seed: int = PUBLIC_SEED) -> Result:
    """Judge the answer to exercise `key` found in `namespace`; shows and keeps nothing."""
    from utils.exercises import find

    try:
        exercise = find(key)
    except KeyError as error:
        return Result(key, False, f"not checked: {error.args[0]}")
    if exercise.function not in namespace:
        return Result(
            key,
            False,
            f"not yet: `{exercise.function}` is not defined. "
            "Run the exercise's cell first (Shift+Enter), then this one.",
        )
    return judge(exercise, namespace[exercise.function], seed)


def _record(kept: dict[str, Any], result: Result) -> None:
    """Count the try. Once solved, an exercise stays solved."""
    entry = kept.setdefault(result.key, {"solved": False, "tries": 0})
    entry["tries"] += 1
    entry["solved"] = entry["solved"] or result.solved


def _notebook_variables() -> dict[str, Any] | None:
    """The variables of the running notebook; None outside IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell.user_ns if shell else None
