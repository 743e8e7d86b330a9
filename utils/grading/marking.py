"""Marks for one notebook: each answer runs in the jail, what it did is judged here.

Two sets of inputs are drawn for each exercise: the public ones, which the lesson's own check uses,
and the hidden ones, from the instructor's seed. All points, or none: an answer must be right on
both. What a student reads quotes public inputs only.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from utils import wire
from utils.grading.jail import Broken, Jail, Limits
from utils.grading.notebooks import Found, Notebook, find_answer
from utils.judging import (
    PUBLIC_SEED,
    AnswerKey,
    Exercise,
    Outcome,
    Result,
    answer_key,
    verdict,
)

RIGHT, WRONG, NOT_ANSWERED, MISSING, STOPPED = (
    "right",
    "wrong",
    "not answered",
    "missing",
    "stopped",
)
STATUSES = (RIGHT, WRONG, NOT_ANSWERED, MISSING, STOPPED)
LONGEST_MESSAGE = 2000  # characters


@dataclass(frozen=True)
class Mark:
    """The marks for one exercise.

    points: of `of`. message: for the student. mistake: the known mistake that it makes, or "".
    note: for the instructor, "" where nothing was unusual.
    """

    key: str
    status: str
    points: float
    of: float
    message: str
    mistake: str = ""
    note: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Marking:
    """How marks are given. seed: the instructor's; trusted: without a jail."""

    seed: int
    limits: Limits = field(default_factory=Limits)
    trusted: bool = False


def mark_notebook(
    notebook: Notebook, exercises: Sequence[Exercise], marking: Marking
) -> list[Mark]:
    """A mark for each exercise. Raises JailError when no jail can be set up."""
    with _Jails(marking) as jails:
        # All public inputs go first: a process whose words a student will read has never been
        # near a hidden one.
        marks = [_mark_publicly(notebook, exercise, marking, jails) for exercise in exercises]
        return [
            _mark_hidden(notebook, exercise, mark, marking, jails) if mark.status == RIGHT else mark
            for exercise, mark in zip(exercises, marks, strict=True)
        ]


def _mark_publicly(notebook: Notebook, exercise: Exercise, marking: Marking, jails) -> Mark:
    """The mark as the lesson's own check sees it, every word of it fit for the student."""
    found = find_answer(notebook, exercise)
    mark = Mark(exercise.key, MISSING, 0.0, exercise.points, found.missing, note=found.note)
    if found.missing:
        return mark
    key, start = answer_key(exercise, PUBLIC_SEED), time.perf_counter()
    reply, how = jails.run(_task(notebook, found, key, marking))
    mark = replace(mark, seconds=time.perf_counter() - start)
    if how != "done":
        return _noted(mark, STOPPED, _why_stopped(how, marking.limits), note=f"stopped: {how}")
    try:
        problem, outcomes = _read(reply, len(key.cases))
    except wire.WireError as error:
        return _noted(mark, WRONG, "What your answer returns can't be read.", note=str(error))
    result = verdict(key, outcomes) if not problem else Result(exercise.key, False, problem)
    if result.solved:
        return replace(_noted(mark, RIGHT, result.message), points=exercise.points)
    status = NOT_ANSWERED if result.message.startswith("not solved yet") else WRONG
    return _noted(mark, status, result.message, mistake=result.mistake)


def _mark_hidden(notebook: Notebook, exercise: Exercise, mark: Mark, marking, jails) -> Mark:
    """The mark after the hidden inputs, of which no word of the answer's process tells."""
    found, key = find_answer(notebook, exercise), answer_key(exercise, marking.seed)
    start = time.perf_counter()
    reply, how = jails.run(_task(notebook, found, key, marking))
    mark = replace(mark, seconds=mark.seconds + time.perf_counter() - start)
    failed = replace(mark, points=0.0)
    if how != "done":
        message = _why_stopped(how, marking.limits)
        return _noted(failed, STOPPED, message, note=f"stopped on hidden inputs: {how}")
    try:
        problem, outcomes = _read(reply, len(key.cases))
    except wire.WireError as error:
        problem, outcomes = str(error), []
    result = verdict(key, outcomes) if not problem else Result(exercise.key, False, problem)
    if result.solved:
        return mark
    message = result.mistake or (
        "It is right on the inputs of the lesson's own check, but not on others. Does it hold for "
        "any input, or was it made for those?"
    )
    note = "right on the public inputs only"
    return _noted(failed, WRONG, f"not yet: {message}", mistake=result.mistake, note=note)


def _noted(mark: Mark, status: str, message: str, mistake: str = "", note: str = "") -> Mark:
    notes = "; ".join(filter(None, (mark.note, note)))
    message = message[:LONGEST_MESSAGE]
    return replace(mark, status=status, message=message, mistake=mistake, note=notes)


def _task(notebook: Notebook, found: Found, key: AnswerKey, marking: Marking) -> dict:
    exercise, observe = key.exercise, key.exercise.observe
    return {
        "key": exercise.key,
        "function": exercise.function,
        "kind": exercise.kind,
        "task": exercise.task,
        "code": found.source,
        "others": [source for source in notebook.code if source != found.source],
        "cases": [wire.pack(case) for case in key.cases],
        "observe": observe and observe.__name__,
        "seconds": marking.limits.seconds,
    }


def _read(reply: str, cases: int) -> tuple[str, list[Outcome]]:
    """What stands in the way, in words, or what the answer did with each case."""
    read = wire.read_json(reply)
    if not isinstance(read, dict):
        raise wire.WireError("no reply")
    problem, outcomes = read.get("problem"), read.get("outcomes")
    if isinstance(problem, str) and problem:
        return problem, []
    if not isinstance(outcomes, list) or len(outcomes) != cases:
        raise wire.WireError("not as many outcomes as cases")
    return "", [wire.unpack_outcome(outcome) for outcome in outcomes]


def _why_stopped(how: str, limits: Limits) -> str:
    why = {
        "time": f"It did not end within {limits.seconds:g} seconds. Look for a loop without end.",
        "large": f"What it returns is larger than {limits.answer_mb} MB.",
        "memory": f"It took more than {limits.memory_gb:g} GB of memory.",
        "signal 9": "It was stopped: it took too much time or memory, or stopped itself.",
        "signal 24": f"It computed for more than {limits.seconds:g} seconds.",
        "signal 25": f"It wrote a file larger than {limits.files_mb} MB.",
    }
    return why.get(how, "Its process ended before there was an answer.")


class _Jails:
    """One jail for a notebook, and a new one whenever an answer has broken the last.

    An answer that did not have its jail to itself, when it broke, is tried once more: an earlier
    one may have done it.
    """

    def __init__(self, marking: Marking) -> None:
        self._marking, self._jail, self._used = marking, None, 0

    def run(self, task: dict) -> tuple[str, str]:
        """What the answer said and how it ended."""
        while True:
            if self._jail is None:
                self._jail, self._used = Jail(self._marking.limits, self._marking.trusted), 0
            self._used += 1
            try:
                return self._jail.run(task)
            except Broken as broken:
                first = self._used == 1
                self.close()
                if first:
                    return "", str(broken)

    def close(self) -> None:
        if self._jail is not None:
            self._jail.close()
        self._jail = None

    def __enter__(self) -> _Jails:
        return self

    def __exit__(self, *error) -> None:
        self.close()


def to_json(marks: Sequence[Mark]) -> list[dict]:
    """Marks as they are kept in a file."""
    return [asdict(mark) for mark in marks]


def from_json(kept: list[dict]) -> list[Mark]:
    """Marks from a file. Raises TypeError or KeyError if they are none."""
    return [Mark(**mark) for mark in kept]
