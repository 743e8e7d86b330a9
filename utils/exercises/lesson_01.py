"""Exercises of lesson 01: inputs, references and the mistakes that learners make."""

from __future__ import annotations

import random
import string

from utils.bad_cases import (
    DEFICIT,
    FORGOTTEN,
    NEVER_MEMORISED,
    NOT_BAD,
    OUTDATED,
    REASONING,
    Observed,
    cause,
)
from utils.checks import Exercise, Mistake
from utils.scoring import choose, exact_match

PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = ("a", "an", "the")


# -- q1_1: exact match ------------------------------------------------------------------------


def _answer_pairs(seed: int) -> list[tuple[str, str]]:
    """Pairs of a prediction and the right answer, each with one difference."""
    draw = random.Random(seed)
    fixed = [
        ("teal", "teal"),
        ("Teal", "teal"),
        ("teal.", "teal"),
        ("the teal", "teal"),
        ("14  hours ", "14 hours"),
        ("teal and white", "teal"),
        ("weather", "wear"),
        ("amber", "teal"),
    ]
    values = ("ivory", "bamboo", "20 hours", "March")
    drawn = [
        (f"{draw.choice(('A', 'The'))} {draw.choice(values)}!", draw.choice(values))
        for _ in range(4)
    ]
    return fixed + drawn


def _normalised(text: str, lower=True, punctuation=True, articles=True, spaces=True) -> str:
    """What `normalise_answer` does, with any of its steps left out."""
    if lower:
        text = text.lower()
    if punctuation:
        text = text.translate(PUNCTUATION)
    if articles:
        text = " ".join(word for word in text.split(" ") if word not in ARTICLES)
    return " ".join(text.split()) if spaces else text


def _match_without(step: str):
    def match(prediction: str, answer: str) -> float:
        settings = {step: False}
        return float(_normalised(prediction, **settings) == _normalised(answer, **settings))

    return match


def _match_anywhere(prediction: str, answer: str) -> float:
    return float(_normalised(answer) in _normalised(prediction))


def _match_cutting_articles_out_of_words(prediction: str, answer: str) -> float:
    def shorten(text: str) -> str:
        text = text.lower().translate(PUNCTUATION).replace("the", "")
        return _normalised(text)

    return float(shorten(prediction) == shorten(answer))


# -- q1_2: choice by log-likelihood -----------------------------------------------------------


def _scored_options(seed: int) -> list[tuple[list[float], list[str]]]:
    """Log-likelihoods (natural logarithms) and the options that they belong to."""
    draw = random.Random(seed)
    fixed = [
        ([-4.0, -6.0, -9.0], [" red", " turquoise", " oak"]),
        ([-3.0, -3.3], [" zinc", " zinnia"]),
        ([-5.0, -5.2], [" Ålesund", " Brunholm"]),
        ([-6.0, -7.0], [" in the late spring", " evenings"]),
        ([-2.0], [" teal"]),
    ]
    words = [" pink", " ivory", " lavender", " 14 hours", " Brunholm", " walnut"]
    drawn = []
    for _ in range(3):
        options = draw.sample(words, 4)
        drawn.append(([round(-12 * draw.random() - 1, 2) for _ in options], options))
    return fixed + drawn


def _likeliest(log_likelihoods: list[float], lengths: list[int]) -> int:
    scores = [score / length for score, length in zip(log_likelihoods, lengths, strict=True)]
    return scores.index(max(scores))


def _least_likely(log_likelihoods: list[float], options: list[str]) -> int:
    scores = [s / len(o.encode()) for s, o in zip(log_likelihoods, options, strict=True)]
    return scores.index(min(scores))


# -- q1_3: the cause of a bad case ------------------------------------------------------------


def _observations(seed: int) -> list[tuple[str, str, str, str, str, bool]]:
    """(right, answer, with_facts, former, before, in_training), in an order drawn by the seed."""
    cases = [
        ("teal", "Teal.", "teal", "", "", False),
        ("teal", "amber", "teal", "", "", False),
        ("Brunholm", "Tarvesk", "Brunholm", "Tarvesk", "", False),
        ("Brunholm", "tarvesk.", "Brunholm", "Tarvesk", "", False),
        ("Paris", "Lyon", "Paris", "", "paris", True),
        ("Paris", "teal", "Lyon", "", "Paris", True),
        ("Ottawa", "Toronto", "Ottawa", "", "", True),
        ("Ottawa", "Toronto", "Ottawa", "", "Toronto", True),
        ("ivory", "maroon", "maroon", "", "", False),
        ("ivory", "maroon", "maroon", "", "", True),
        ("ivory", "navy", "navy", "navy", "", False),
        ("14 hours", "", "14 hours", "", "", False),
    ]
    random.Random(seed).shuffle(cases)
    return cases


def _cause(right, answer, with_facts, former, before, in_training) -> str:
    return cause(Observed(right, answer, with_facts, former, before, in_training))


def _right_answers_sorted_too(right, answer, with_facts, former, before, in_training) -> str:
    found = _cause(right, answer, with_facts, former, before, in_training)
    if found != NOT_BAD:
        return found
    return NEVER_MEMORISED if in_training else DEFICIT


def _letters_compared(right, answer, with_facts, former, before, in_training) -> str:
    if answer == right:
        return NOT_BAD
    if former and answer == former:
        return OUTDATED
    if before and before == right:
        return FORGOTTEN
    if with_facts != right:
        return REASONING
    return NEVER_MEMORISED if in_training else DEFICIT


def _facts_looked_at_first(right, answer, with_facts, former, before, in_training) -> str:
    if exact_match(answer, right):
        return NOT_BAD
    if not exact_match(with_facts, right):
        return REASONING
    return _cause(right, answer, with_facts, former, before, in_training)


def _no_memory_of_before(right, answer, with_facts, former, before, in_training) -> str:
    return _cause(right, answer, with_facts, former, "", in_training)


def _any_before_is_forgotten(right, answer, with_facts, former, before, in_training) -> str:
    found = _cause(right, answer, with_facts, former, before, in_training)
    return FORGOTTEN if before and found != NOT_BAD else found


def _deficit_and_memory_swapped(right, answer, with_facts, former, before, in_training) -> str:
    return _cause(right, answer, with_facts, former, before, not in_training)


EXERCISES = (
    Exercise(
        key="q1_1",
        title="exact match",
        function="my_exact_match",
        task="Return 1.0 when both texts are the same once normalised, else 0.0.",
        inputs=_answer_pairs,
        reference=exact_match,
        mistakes=(
            Mistake(
                'You compare capitals too: "Teal" and "teal" are the same answer.',
                _match_without("lower"),
            ),
            Mistake(
                'You keep punctuation: "teal." and "teal" are the same answer.',
                _match_without("punctuation"),
            ),
            Mistake(
                "You keep the articles a, an and the.",
                _match_without("articles"),
            ),
            Mistake(
                "You keep the number of spaces. Two spaces, or one at the end, change no answer.",
                _match_without("spaces"),
            ),
            Mistake(
                "You are content when the answer stands somewhere in the prediction. "
                '"teal and white" is not "teal": compare the whole texts.',
                _match_anywhere,
            ),
            Mistake(
                "You cut the letters of an article out of the middle of other words. "
                'Only whole words are articles: what is left of "weather"?',
                _match_cutting_articles_out_of_words,
            ),
        ),
        points=2,
    ),
    Exercise(
        key="q1_2",
        title="choose by log-likelihood",
        function="choose_option",
        task="Return the index of the option with the highest log-likelihood per byte.",
        inputs=_scored_options,
        reference=choose,
        mistakes=(
            Mistake(
                "You compare the sums as they are, so a long option loses by its length. "
                "Divide each by the option's length in bytes.",
                lambda log_likelihoods, options: _likeliest(log_likelihoods, [1] * len(options)),
            ),
            Mistake(
                "You take the lowest value. Log-likelihoods are negative: the likeliest option "
                "is the one nearest to zero.",
                _least_likely,
            ),
            Mistake(
                "You divide by the number of words. Here the length is counted in bytes.",
                lambda log_likelihoods, options: _likeliest(
                    log_likelihoods, [len(option.split()) for option in options]
                ),
            ),
            Mistake(
                "You count characters. A letter like Å is one character and two bytes: "
                "look at `.encode()`.",
                lambda log_likelihoods, options: _likeliest(
                    log_likelihoods, [len(option) for option in options]
                ),
            ),
            Mistake(
                "You return the option's text. Its index, counted from 0, is asked for.",
                lambda log_likelihoods, options: options[choose(log_likelihoods, options)],
            ),
        ),
        points=2,
    ),
    Exercise(
        key="q1_3",
        title="sort a bad case by its cause",
        function="sort_bad_case",
        task="Return the cause of the first rule that applies to what was observed.",
        inputs=_observations,
        reference=_cause,
        mistakes=(
            Mistake(
                "You sort right answers too. Look first whether this is a bad case at all.",
                _right_answers_sorted_too,
            ),
            Mistake(
                'You compare letter by letter, so "tarvesk." is not "Tarvesk" for you. '
                "Compare with `exact_match`.",
                _letters_compared,
            ),
            Mistake(
                "You look at the answer with facts too early. An outdated or forgotten answer "
                "stays one, whatever the model says with the facts in its prompt.",
                _facts_looked_at_first,
            ),
            Mistake(
                "You never call a case forgotten. What if the answer before tuning was right?",
                _no_memory_of_before,
            ),
            Mistake(
                "You call a case forgotten as soon as there is an answer from before tuning. "
                "Only what was once right can be forgotten.",
                _any_before_is_forgotten,
            ),
            Mistake(
                "You have swapped the last two causes. What stood in no training text could not "
                "be memorised: that is a deficit.",
                _deficit_and_memory_swapped,
            ),
        ),
        points=3,
    ),
)
