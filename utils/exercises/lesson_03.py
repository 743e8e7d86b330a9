"""Exercises of lesson 03: inputs, references and the mistakes that learners make."""

from __future__ import annotations

import random
import re

from utils.abstain import choose_threshold
from utils.checks import Exercise, Mistake
from utils.prompts import passages_prompt
from utils.routes import Rule, RuleRetriever

INFINITE = float("inf")

# --- 3.1 the prompt -----------------------------------------------------------------------------

CARDS = (
    "Ardenix P20 kettle\n- colour: teal",
    "Ardenix P20 Plus kettle\n- colour: ivory",
    "Ardenix P30 kettle\n- colour: maroon",
    "Ardenix P30 Plus kettle\n- colour: black",
)


def _questions_and_passages(seed: int) -> list[tuple[str, list[str]]]:
    """A question and its passages, best first."""
    draw = random.Random(seed)
    question = "What colour is the Ardenix P20?"
    drawn = [(question, draw.sample(CARDS, size)) for size in (2, 3, 4)]
    return [(question, list(CARDS[:2])), (question, list(CARDS[:1])), *drawn]


def _prompt(question: str, passages: list[str]) -> str:
    return passages_prompt(passages, question)


def _ending(question: str) -> str:
    return f"Question: {question}\nAnswer:"


def _best_first(question: str, passages: list[str]) -> str:
    return "\n\n".join(passages) + "\n" + _ending(question)


def _question_first(question: str, passages: list[str]) -> str:
    return f"Question: {question}\n" + "\n\n".join(reversed(passages)) + "\nAnswer:"


def _one_line_break(question: str, passages: list[str]) -> str:
    return "\n".join(reversed(passages)) + "\n" + _ending(question)


def _blank_line_before_question(question: str, passages: list[str]) -> str:
    return "\n\n".join(reversed(passages)) + "\n\n" + _ending(question)


# --- 3.2 the rule router -------------------------------------------------------------------------

RULES = [
    (("opening", "hours"), "9:00 to 17:00"),
    (("hours",), "Hours of what, please?"),
    (("return", "order"), "within 30 days"),
    (("order",), "in the web shop"),
]
QUESTIONS = (
    "What are your opening hours?",
    "Opening HOURS today?",
    "How many hours does it run?",
    "Can I return my order?",
    "How do I order?",
    "Is a return free?",
    "What colour is it?",
    "Do you deliver in an orderly way?",
)


def _questions_and_rules(seed: int) -> list[tuple[str, list]]:
    """The same questions against tables in a drawn order, and once against no rules at all."""
    draw = random.Random(seed)
    inputs = [(question, list(RULES)) for question in QUESTIONS]
    for question in draw.sample(QUESTIONS, 4):
        inputs.append((question, draw.sample(RULES, len(RULES))))
    return [*inputs, (QUESTIONS[0], [])]


def _route(question: str, rules: list) -> str | None:
    table = RuleRetriever([Rule(answer, words, answer) for words, answer in rules])
    hits = table.search([question], 1)[0]
    return hits[0].passage.text if hits else None


def _asked(question: str) -> set[str]:
    return set(re.findall(r"\w+", question.lower()))


def _any_word(question: str, rules: list) -> str | None:
    return next((a for words, a in rules if set(words) & _asked(question)), None)


def _case_matters(question: str, rules: list) -> str | None:
    asked = set(re.findall(r"\w+", question))
    return next((a for words, a in rules if set(words) <= asked), None)


def _parts_of_words(question: str, rules: list) -> str | None:
    text = question.lower()
    return next((a for words, a in rules if all(word in text for word in words)), None)


def _last_rule(question: str, rules: list) -> str | None:
    return _route(question, rules[::-1])


def _punctuation_sticks(question: str, rules: list) -> str | None:
    asked = set(question.lower().split())
    return next((a for words, a in rules if set(words) <= asked), None)


# --- 3.3 the threshold ----------------------------------------------------------------------------


def _scores_and_bounds(seed: int) -> list[tuple[list[float], list[int], float]]:
    """Scores, whether each answer is right (1 or 0), and the highest risk that is allowed."""
    draw = random.Random(seed)
    inputs = [
        ([4.0, 3.0, 2.0, 1.0], [1, 1, 0, 0], 0.4),
        ([5.0, 4.0, 3.0, 2.0, 1.0], [0, 1, 1, 1, 0], 0.3),
        ([2.0, 1.0], [0, 0], 0.5),
        ([3.0, 1.0, 2.0], [1, 1, 1], 0.1),
        ([3.0, 2.0, 2.0, 1.0], [1, 1, 0, 0], 0.2),
    ]
    for size in (6, 8):
        scores = [draw.randint(2, 20) / 2 for _ in range(size)]
        right = [int(draw.random() < 0.7) for _ in range(size)]
        inputs.append((scores, right, draw.choice([0.22, 0.31, 0.41])))
    return inputs


def _lowest_with(kept, scores: list[float], right: list[int], highest_risk: float) -> float:
    """The lowest threshold for which `kept(answered verdicts)` is at most the bound."""
    fitting = [
        threshold
        for threshold in scores
        if kept([r for s, r in zip(scores, right, strict=True) if s >= threshold]) <= highest_risk
    ]
    return min(fitting, default=INFINITE)


def _risk(verdicts: list[int]) -> float:
    return 1 - sum(verdicts) / len(verdicts)


def _highest(scores: list[float], right: list[int], highest_risk: float) -> float:
    fitting = [
        t
        for t in scores
        if _risk([r for s, r in zip(scores, right, strict=True) if s >= t]) <= highest_risk
    ]
    return max(fitting, default=INFINITE)


def _share_of_all(scores: list[float], right: list[int], highest_risk: float) -> float:
    return _lowest_with(
        lambda verdicts: verdicts.count(0) / len(scores), scores, right, highest_risk
    )


def _right_instead_of_wrong(scores: list[float], right: list[int], highest_risk: float) -> float:
    return _lowest_with(lambda verdicts: 1 - _risk(verdicts), scores, right, highest_risk)


def _stops_too_early(scores: list[float], right: list[int], highest_risk: float) -> float:
    """Goes down from the highest score and stops at the first threshold that breaks the bound."""
    chosen = INFINITE
    for threshold in sorted(set(scores), reverse=True):
        verdicts = [r for s, r in zip(scores, right, strict=True) if s >= threshold]
        if _risk(verdicts) > highest_risk:
            break
        chosen = threshold
    return chosen


def _equal_scores_are_refused(scores: list[float], right: list[int], highest_risk: float) -> float:
    fitting = []
    for threshold in scores:
        verdicts = [r for s, r in zip(scores, right, strict=True) if s > threshold]
        if verdicts and _risk(verdicts) <= highest_risk:
            fitting.append(threshold)
    return min(fitting, default=INFINITE)


EXERCISES = (
    Exercise(
        key="q3_1",
        title="the best passage nearest to the question",
        function="my_prompt",
        task="Return the passages, the best one last, then the question, then `Answer:`.",
        inputs=_questions_and_passages,
        reference=_prompt,
        mistakes=(
            Mistake(
                "The best passage stands first, far away from the question. "
                "The passages come best first; turn their order round.",
                _best_first,
            ),
            Mistake(
                "Only the best passage is in your prompt. Use all that you are given.",
                lambda question, passages: _prompt(question, passages[:1]),
            ),
            Mistake(
                "The question stands before the passages. "
                "The model continues what it has read last: question and `Answer:` belong there.",
                _question_first,
            ),
            Mistake(
                "Your prompt ends in a space. The model's words begin with their own space, so "
                "nothing may follow the colon of `Answer:`.",
                lambda question, passages: _prompt(question, passages) + " ",
            ),
            Mistake(
                "There is no blank line between two passages, so they read as one card.",
                _one_line_break,
            ),
            Mistake(
                "There is a blank line between the last passage and the question. In the worked "
                "examples the question follows on the next line.",
                _blank_line_before_question,
            ),
        ),
        points=2,
    ),
    Exercise(
        key="q3_2",
        title="a router with rules",
        function="my_route",
        task="Return the answer of the first rule all of whose words are in the question, or None.",
        inputs=_questions_and_rules,
        reference=_route,
        mistakes=(
            Mistake(
                "One word of a rule is enough for you. "
                "A rule fits when all of its words are there.",
                _any_word,
            ),
            Mistake(
                "Capital letters make a difference. "
                "`Opening HOURS` should fit the words opening and hours.",
                _case_matters,
            ),
            Mistake(
                "You find a word inside another one: `order` in `orderly`. Compare whole words.",
                _parts_of_words,
            ),
            Mistake(
                "Where several rules fit you take the last one. The first one counts.",
                _last_rule,
            ),
            Mistake(
                "Punctuation sticks to your words: `hours?` is not `hours`. "
                "`re.findall` with the pattern `\\w+` gives the words alone.",
                _punctuation_sticks,
            ),
        ),
        points=2,
    ),
    Exercise(
        key="q3_3",
        title="a threshold that keeps the risk low",
        function="my_threshold",
        task="Return the lowest of the scores that keeps the risk at or below the bound.",
        inputs=_scores_and_bounds,
        reference=choose_threshold,
        mistakes=(
            Mistake(
                "Your threshold keeps the bound but refuses more than it must. "
                "Of all thresholds that keep it, take the lowest.",
                _highest,
            ),
            Mistake(
                "You divide the wrong answers by all questions. "
                "Risk is their share among the questions that are answered.",
                _share_of_all,
            ),
            Mistake(
                "You bound the share of right answers. Risk is the share of wrong ones.",
                _right_instead_of_wrong,
            ),
            Mistake(
                "You stop at the first threshold that breaks the bound. Risk can fall again "
                "further down: look at every score.",
                _stops_too_early,
            ),
            Mistake(
                "You refuse a question whose score equals the threshold. It is answered: use >=.",
                _equal_scores_are_refused,
            ),
        ),
        points=2,
        tolerance=1e-9,
    ),
)
