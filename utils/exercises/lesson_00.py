"""Exercises of lesson 00: inputs, references and the mistakes that learners make."""

from __future__ import annotations

import random

import numpy as np

from utils.checks import Exercise, Mistake

COLOURS = ("teal", "amber", "ivory", "maroon")


def _answers_and_keys(seed: int) -> list[tuple[list[str], list[str]]]:
    """Small question sets: the model's answers and the right ones, of equal length."""
    draw = random.Random(seed)
    fixed = [
        (["teal", "amber", "ivory", "teal"], ["teal", "amber", "maroon", "ivory"]),
        (["amber"], ["amber"]),
        (["ivory", "maroon"], ["maroon", "ivory"]),
    ]
    drawn = [
        ([draw.choice(COLOURS) for _ in range(size)], [draw.choice(COLOURS) for _ in range(size)])
        for size in (3, 5, 8)
    ]
    return fixed + drawn


def _share_right(answers: list[str], right: list[str]) -> float:
    return float(np.mean(np.array(answers) == np.array(right)))


def _count_right(answers: list[str], right: list[str]) -> int:
    return sum(answer == truth for answer, truth in zip(answers, right, strict=True))


def _share_anywhere(answers: list[str], right: list[str]) -> float:
    return sum(answer in right for answer in answers) / len(answers)


EXERCISES = (
    Exercise(
        key="q0_1",
        title="the share of right answers",
        function="share_right",
        task="Return the share of questions (0 to 1) whose answer equals the right one.",
        inputs=_answers_and_keys,
        reference=_share_right,
        mistakes=(
            Mistake(
                "You return how many answers are right. "
                "A share also needs to be divided by the number of questions.",
                _count_right,
            ),
            Mistake(
                "You return a percentage (0 to 100). Here a share runs from 0 to 1.",
                lambda answers, right: 100 * _share_right(answers, right),
            ),
            Mistake(
                "You return the share of wrong answers. Look at the comparison: == or !=?",
                lambda answers, right: 1 - _share_right(answers, right),
            ),
            Mistake(
                "You look whether an answer is right for any of the questions. "
                "Compare each answer with the right answer to its own question: zip pairs them.",
                _share_anywhere,
            ),
        ),
        points=1,
    ),
)
