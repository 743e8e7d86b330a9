"""A class's exercises, without solutions, judge as the course's own do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lessons.source.student import solution_only
from tests.test_exercises import EXERCISES, answer_in, cells_by_id, mistaken_answer
from utils.exercises import lesson_exercises
from utils.judging import judge
from utils.kept_exercises import keep_exercises, read_exercises


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("kept")
    found = {}
    for lesson in sorted({exercise.lesson for exercise in EXERCISES.values()}):
        path = folder / f"lesson_{lesson:02d}.json"
        path.write_text(keep_exercises(lesson_exercises(lesson)), encoding="utf-8")
        found |= {exercise.key: exercise for exercise in read_exercises(path)}
    return found


@pytest.mark.parametrize("key", EXERCISES)
def test_they_judge_alike(kept, key):
    own = EXERCISES[key]
    answers = [answer_in(solution_only(cells_by_id()[key].source), own)]
    answers += [mistaken_answer(own, mistake) for mistake in own.mistakes]
    answers += [lambda *arguments: 17, 17, lambda: 3]
    for answer in answers:
        assert judge(kept[key], answer) == judge(own, answer)


def test_they_hold_no_code(kept):
    for exercise in kept.values():
        with pytest.raises(LookupError, match="hold no solutions"):
            exercise.reference()
        for mistake in exercise.mistakes:
            with pytest.raises(LookupError):
                mistake.function()


@pytest.mark.parametrize("text", ["", "[{}]", "3", '[{"key": 1}]'])
def test_a_damaged_file_is_said(tmp_path, text):
    path = Path(tmp_path / "lesson_02.json")
    path.write_text(text)
    with pytest.raises(ValueError, match="is damaged: take it anew"):
        read_exercises(path)


def test_they_are_small(kept):
    for lesson in range(8):
        assert len(keep_exercises(lesson_exercises(lesson))) < 100_000
    assert json.loads(keep_exercises(lesson_exercises(2)))
