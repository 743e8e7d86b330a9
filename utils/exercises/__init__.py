"""The registry of exercises: one module `lesson_NN` a lesson, each with a tuple EXERCISES."""

from __future__ import annotations

import importlib
import pkgutil
import re

from utils.judging import Exercise


def find(key: str) -> Exercise:
    """The exercise with this key, such as "q2_1".

    Raises KeyError, with the keys that there are, when there is none.
    """
    match = re.fullmatch(r"q(\d+)_\d+", key)
    exercises = lesson_exercises(int(match[1])) if match else all_exercises()
    for exercise in exercises:
        if exercise.key == key:
            return exercise
    keys = ", ".join(exercise.key for exercise in exercises or all_exercises())
    raise KeyError(f"There is no exercise {key!r}. There are: {keys}.")


def lesson_exercises(lesson: int) -> tuple[Exercise, ...]:
    """The exercises of one lesson, in the lesson's order; () when it has none."""
    name = f"lesson_{lesson:02d}"
    if name not in _module_names():
        return ()
    return tuple(importlib.import_module(f"{__name__}.{name}").EXERCISES)


def all_exercises() -> tuple[Exercise, ...]:
    """Every exercise of the course, lesson by lesson."""
    lessons = sorted(int(name.removeprefix("lesson_")) for name in _module_names())
    return tuple(exercise for lesson in lessons for exercise in lesson_exercises(lesson))


def _module_names() -> set[str]:
    return {
        module.name
        for module in pkgutil.iter_modules(__path__)
        if re.fullmatch(r"lesson_\d\d", module.name)
    }
