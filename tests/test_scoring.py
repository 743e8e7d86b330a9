"""Right or wrong: SQuAD's normalisation, exact match, F1, and the choice among options."""

from __future__ import annotations

import math

import numpy as np
import pytest

from utils.scoring import choose, exact_match, f1, normalise_answer


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Teal.", "teal"),
        ("  14   hours ", "14 hours"),
        ("a kettle and an oven", "kettle and oven"),
        ("Theatre", "theatre"),  # an article inside a word stays
        ("anthem", "anthem"),
        ("Brunholm\n", "brunholm"),
        ("!?", ""),
        ("", ""),
    ],
)
def test_answers_are_compared_without_case_punctuation_and_articles(text, normal):
    assert normalise_answer(text) == normal


def test_exact_match_is_all_or_nothing():
    assert exact_match("the Teal", "teal") == 1.0
    assert exact_match("teal and white", "teal") == 0.0
    assert exact_match("4 hours", "14 hours") == 0.0
    assert exact_match("", "teal") == 0.0
    assert isinstance(exact_match("a", "a"), float)


@pytest.mark.parametrize(
    ("prediction", "answer", "expected"),
    [
        ("14 hours", "14 hours", 1.0),
        ("about 14 hours", "14 hours", 0.8),  # precision 2/3, recall 1
        ("hours", "14 hours", 2 / 3),
        ("teal", "ivory", 0.0),
        ("teal teal teal", "teal", 0.5),  # a word counts as often as both have it
        ("", "teal", 0.0),
        ("the", "a", 1.0),  # nothing is left of both
    ],
)
def test_f1_is_the_harmonic_mean_of_precision_and_recall(prediction, answer, expected):
    assert f1(prediction, answer) == pytest.approx(expected)
    assert f1(answer, prediction) == pytest.approx(expected)


def test_the_likeliest_option_is_chosen():
    assert choose([-5.0, -2.0, -9.0, -3.0]) == 1
    assert choose(np.array([-1.0])) == 0


def test_division_by_length_lifts_long_options():
    scores, options = [-4.0, -6.0], ["teal", "lavender mist"]
    assert choose(scores) == 0
    assert choose(scores, options) == 1  # -4/4 against -6/13


def test_length_counts_bytes_as_the_evaluation_harness_does():
    # Equal numbers of characters; "é" takes two bytes.
    assert choose([-4.0, -5.0], ["teal", "éééé"]) == 1


@pytest.mark.parametrize("scores", [[], [math.nan, -1.0]])
def test_nothing_to_choose_from_is_an_error(scores):
    with pytest.raises(ValueError, match="Cannot choose"):
        choose(scores)


def test_a_missing_option_is_an_error():
    with pytest.raises(ValueError, match="2 log-likelihoods but 1 options"):
        choose([-1.0, -2.0], ["teal"])


def test_an_impossible_option_is_not_chosen():
    assert choose([-math.inf, -50.0]) == 1
