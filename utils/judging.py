"""What is wrong with an answer, in words.

An exercise holds inputs, a reference (a second way to the right result) and the mistakes that
learners typically make, each as a function that makes it. An answer is judged by what it does: if
it does what a known mistake does, the learner reads that mistake's message.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import io
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from utils.differences import difference, short

PUBLIC_SEED = 0  # draws the inputs of a lesson's own check


def exercise_number(key: str) -> str:
    """An exercise's number as its lesson has it: "2.1" for "q2_1"."""
    return key.removeprefix("q").replace("_", ".")


@dataclass(frozen=True)
class Mistake:
    """A typical mistake: `message` names it, `function` makes it (same arguments as the answer)."""

    message: str
    function: Callable


def _one_empty_input(seed: int) -> list[tuple]:
    return [()]


@dataclass(frozen=True)
class Exercise:
    """One exercise that a program can check.

    `key`: such as "q2_1" (lesson 2, exercise 1). `function`: the name that the notebook gives to
    the answer. `task`: one sentence on what to do. `inputs`: seed -> list of argument tuples.
    `reference`: returns the right result for such arguments. `tolerance`: the largest difference
    between numbers, absolute and relative, that still counts as equal.
    `kind`: "function", or "value" for an answer that is a value (then without inputs).
    For unusual results only: `observe` makes plain values of a result, such as what a layer
    computes; `compare`: (expected, got) -> None when equal, else what is wrong. A grader runs
    `observe` beside a stranger's answer, so both stand in `utils.observing` and hold no solution.
    `kept`: cases, expected and mistaken outcomes instead of functions (`utils.kept_exercises`).
    """

    key: str
    title: str
    function: str
    task: str
    reference: Callable
    mistakes: tuple[Mistake, ...]
    inputs: Callable[[int], list[tuple]] = _one_empty_input
    points: int = 2
    tolerance: float = 1e-6
    kind: str = "function"
    observe: Callable[[object], object] | None = None
    compare: Callable[[object, object], str | None] | None = None
    kept: tuple[list, list, list] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"q\d+_\d+", self.key):
            raise ValueError(f"An exercise's key looks like q2_1, not {self.key!r}.")
        if self.kind not in ("function", "value"):
            raise ValueError(f"{self.key}: kind is 'function' or 'value', not {self.kind!r}.")

    @property
    def lesson(self) -> int:
        """The lesson's number."""
        return int(self.key[1:].split("_")[0])


@dataclass(frozen=True)
class Result:
    """The verdict on one answer; `message` is made for the learner.

    mistake: the message of the known mistake that the answer makes, "" if it makes none.
    """

    key: str
    solved: bool
    message: str
    mistake: str = ""


@dataclass(frozen=True)
class Outcome:
    """What one call did: its value or its error, and whether it changed its arguments.

    line: in words, where in the learner's own code the error arose.
    """

    value: object = None
    error: BaseException | None = None
    changed_inputs: bool = False
    line: str = ""


@dataclass(frozen=True)
class AnswerKey:
    """What an answer is judged by: the inputs, and what the reference and each mistake do."""

    exercise: Exercise
    cases: list[tuple]
    expected: list[Outcome]
    mistaken: list[list[Outcome]]


def answer_key(exercise: Exercise, seed: int) -> AnswerKey:
    """The inputs of `seed`, with what the reference and the known mistakes make of them.

    An exercise with a kept key has that one for every seed.
    """
    return AnswerKey(exercise, *exercise.kept) if exercise.kept else _new_key(exercise, seed)


@functools.lru_cache(maxsize=128)
def _new_key(exercise: Exercise, seed: int) -> AnswerKey:
    cases = exercise.inputs(seed)
    functions = [exercise.reference, *(mistake.function for mistake in exercise.mistakes)]
    made = [[call(function, case, exercise.observe) for case in cases] for function in functions]
    return AnswerKey(exercise, cases, made[0], made[1:])


def judge(exercise: Exercise, answer: object, seed: int = PUBLIC_SEED) -> Result:
    """Judge `answer` (a function, or a value for kind "value") on the inputs of `seed`."""
    key = answer_key(exercise, seed)
    named = exercise.function, exercise.kind, exercise.task
    function, problem = as_function(*named, answer, key.cases[0])
    if problem:
        return Result(exercise.key, False, problem)
    return verdict(key, [call(function, case, exercise.observe) for case in key.cases])


def verdict(key: AnswerKey, got: Sequence[Outcome]) -> Result:
    """Judge what an answer did with each of the key's cases."""
    exercise = key.exercise
    if any(isinstance(outcome.error, NotImplementedError) for outcome in got):
        return Result(exercise.key, False, f"not solved yet: {exercise.task}")
    wrong = [
        number
        for number, (want, have) in enumerate(zip(key.expected, got, strict=True))
        if not _same(exercise, want, have)
    ]
    if not wrong:
        return Result(exercise.key, True, f"solved: {exercise.title}")
    mistake = _known_mistake(key, got)
    first = wrong[0]
    message = mistake or _explain(exercise, key.cases[first], key.expected[first], got[first])
    return Result(exercise.key, False, f"not yet: {message}", mistake)


def as_function(
    name: str, kind: str, task: str, answer: object, case: tuple
) -> tuple[Callable, str]:
    """The answer as something to call with such a case, and what stands in the way, in words.

    name, kind, task: the exercise's. The words are "" where it can be called.
    """
    if kind == "value":
        if answer is None or answer is Ellipsis:
            return _never, f"not solved yet: {task}"
        return (lambda: answer), ""
    if not callable(answer):
        return _never, f"not yet: `{name}` is not a function. Run its cell again."
    try:
        inspect.signature(answer).bind(*case)
    except TypeError:
        return _never, (
            f"not yet: `{name}` is called with {len(case)} arguments, "
            f"yours takes {inspect.signature(answer)}."
        )
    except ValueError:  # a built-in without a signature: the call itself will tell
        pass
    return answer, ""


def _never() -> None:
    raise AssertionError("An answer that can't be called was called.")


def call(function: Callable, case: tuple, observe: Callable | None = None) -> Outcome:
    """Call with a copy of the arguments. What the answer prints is not shown.

    observe: see `Exercise`.
    """
    arguments = copy.deepcopy(case)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            value = function(*arguments)
            if observe is not None:
                value = observe(value)
    except (Exception, SystemExit) as error:
        return Outcome(error=error, line=_own_line(function, error))
    # A copy, because a later call may change a list that this one returned; what can't be copied
    # (a generator) is the wrong type anyhow.
    with contextlib.suppress(Exception):
        value = copy.deepcopy(value)
    return Outcome(value, changed_inputs=difference(case, arguments, 0.0) is not None)


def _difference(exercise: Exercise, expected: object, got: object) -> str | None:
    if exercise.compare is None:
        return difference(expected, got, exercise.tolerance)
    try:
        return exercise.compare(expected, got)
    except Exception:  # a result of a kind that `compare` doesn't know is not equal
        return difference(expected, got, exercise.tolerance) or "The result has an unknown form."


def _same(exercise: Exercise, one: Outcome, other: Outcome) -> bool:
    if one.error is not None or other.error is not None:
        return type(one.error) is type(other.error)
    if one.changed_inputs != other.changed_inputs:
        return False
    return _difference(exercise, one.value, other.value) is None


def _known_mistake(key: AnswerKey, got: Sequence[Outcome]) -> str:
    """The message of the mistake that the answer makes, or "".

    It must agree with the mistake wherever the mistake shows. Of several, the one that agrees on
    all inputs is taken, then the one that shows on most.
    """
    exercise = key.exercise
    best, best_rank = "", (False, 0)
    for mistake, made in zip(exercise.mistakes, key.mistaken, strict=True):
        shows = [not _same(exercise, *pair) for pair in zip(key.expected, made, strict=True)]
        agrees = [_same(exercise, *pair) for pair in zip(made, got, strict=True)]
        if not all(agree for agree, show in zip(agrees, shows, strict=True) if show):
            continue
        rank = (all(agrees), sum(shows))
        if rank > best_rank:
            best, best_rank = mistake.message, rank
    return best


def _explain(exercise: Exercise, case: tuple, expected: Outcome, got: Outcome) -> str:
    """The first difference between the answer and the reference, in words."""
    asked = "" if exercise.kind == "value" else f"`{_shown_call(exercise.function, case)}`"
    if got.error is not None:
        words = " ".join(str(got.error).split())
        return f"{asked} stops with `{type(got.error).__name__}`: {words[:200]}{got.line}"
    if expected.error is not None:
        return (
            f"{asked} should raise `{type(expected.error).__name__}` ({expected.error}), "
            f"but it returned {short(got.value)}."
        )
    different = _difference(exercise, expected.value, got.value)
    if different is None:
        return (
            f"{asked} returns the right result but changes the data that it was given. "
            "Work on a copy: `sorted(x)` instead of `x.sort()`, `list(x)` before you append."
        )
    if got.value is None:
        return (
            f"{asked} returns nothing (None). Is a `return` missing? "
            "Printing a value does not return it."
        )
    return f"{asked}: {different}" if asked else different


def _shown_call(name: str, case: tuple) -> str:
    return f"{name}({', '.join(short(argument) for argument in case)})"


def _own_line(function: Callable, error: BaseException) -> str:
    """The last line of the learner's own code that the error passed through."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if not own or not own[-1].line:
        return ""
    return f"\nYour line {own[-1].lineno}: `{own[-1].line.strip()}`"
