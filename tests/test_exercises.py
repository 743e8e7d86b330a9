"""Every exercise: the solution passes, the stub fails, and each known mistake is named."""

from __future__ import annotations

import functools

import pytest

from lessons.source.build import lesson_sources, read_source
from lessons.source.student import (
    SELF_STUDY,
    clear_solution,
    full_metadata,
    remove_region,
    solution_only,
)
from utils.checks import Exercise
from utils.differences import difference
from utils.exercises import all_exercises
from utils.judging import judge

EXERCISES = {exercise.key: exercise for exercise in all_exercises()}
SEEDS = (0, 1, 7)  # a class may draw its own inputs


@functools.cache
def cells_by_id() -> dict[str, object]:
    """Every cell with a grade id, of every lesson's source."""
    return {
        full_metadata(cell)["grade_id"]: cell
        for path in lesson_sources()
        for cell in read_source(path).cells
        if full_metadata(cell)
    }


def answer_in(source: str, exercise: Exercise) -> object:
    """What a solution cell alone defines under the exercise's name."""
    namespace: dict = {"__name__": "__main__"}
    exec(compile(source, exercise.key, "exec"), namespace)
    assert exercise.function in namespace, f"the cell doesn't define {exercise.function}"
    return namespace[exercise.function]


def mistaken_answer(exercise: Exercise, mistake) -> object:
    return mistake.function() if exercise.kind == "value" else mistake.function


def test_every_checked_cell_has_an_exercise_and_every_exercise_a_cell():
    in_lessons = {
        grade_id
        for grade_id, cell in cells_by_id().items()
        if cell.cell_type == "code" and full_metadata(cell)["solution"]
    }
    assert in_lessons == set(EXERCISES)


@pytest.mark.parametrize("key", EXERCISES)
def test_the_solution_passes(key):
    exercise = EXERCISES[key]
    answer = answer_in(solution_only(cells_by_id()[key].source), exercise)
    for seed in SEEDS:
        result = judge(exercise, answer, seed)
        assert result.solved, result.message


@pytest.mark.parametrize("key", EXERCISES)
def test_the_stub_is_not_solved_yet(key):
    exercise = EXERCISES[key]
    source = remove_region(cells_by_id()[key].source, "HIDDEN TESTS")
    result = judge(exercise, answer_in(clear_solution(source, "code", key, SELF_STUDY), exercise))
    assert not result.solved
    assert result.message == f"not solved yet: {exercise.task}"


@pytest.mark.parametrize("key", EXERCISES)
def test_at_least_three_mistakes_are_each_named(key):
    exercise = EXERCISES[key]
    messages = [mistake.message for mistake in exercise.mistakes]
    assert len(set(messages)) == len(messages) >= 3
    for seed in SEEDS:
        for mistake in exercise.mistakes:
            result = judge(exercise, mistaken_answer(exercise, mistake), seed)
            assert not result.solved, f"seed {seed}: {mistake.message!r} is taken for right"
            assert result.message == f"not yet: {mistake.message}", f"seed {seed}"


@pytest.mark.parametrize("key", EXERCISES)
def test_a_wrong_type_and_an_error_are_said(key):
    exercise = EXERCISES[key]

    def strange(*arguments):
        return object()

    def fails(*arguments):
        raise KeyError("no such thing as this")

    if exercise.kind == "value":
        assert "an object of type object came" in judge(exercise, object()).message
        return
    result = judge(exercise, strange)
    assert not result.solved
    assert exercise.function in result.message
    assert "object" in result.message
    result = judge(exercise, fails)
    assert not result.solved
    assert "stops with `KeyError`: 'no such thing as this'" in result.message
    assert "Your line" in result.message


@pytest.mark.parametrize("key", EXERCISES)
def test_points_are_those_of_the_check_cell(key):
    assert full_metadata(cells_by_id()[f"{key}_check"])["points"] == EXERCISES[key].points


@pytest.mark.parametrize("key", EXERCISES)
def test_inputs_are_the_same_each_time_for_a_seed(key):
    exercise = EXERCISES[key]
    assert difference(exercise.inputs(3), exercise.inputs(3), 0.0) is None
