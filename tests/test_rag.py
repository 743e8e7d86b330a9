"""The control module: which way a question goes, what the model reads, what is cited or refused."""

from __future__ import annotations

import random
import re
from types import SimpleNamespace

import numpy as np
import pytest

import utils.inference
from utils.abstain import choose_threshold, risk_coverage
from utils.prompts import fit_passages, open_book, passages_prompt
from utils.rag import LONGEST_QUESTION, REFUSAL, Pipeline, stands_in, trace_text
from utils.retrieval import Hit, LexicalRetriever, Passage
from utils.routes import Rule, RuleRetriever, SmallTalk
from utils.scoring import exact_match
from utils.stats import bootstrap
from utils.worlds import attribute_list, make_world, questions

RULES = RuleRetriever([Rule("opening hours", ("opening", "hours"), "9:00 to 17:00")])
ROUTES = {"small talk": SmallTalk(), "rule": RULES}
CARDS = (
    Passage("A1", "Ardenix A1 lamp\n- colour: teal\n- battery life: 12 hours"),
    Passage("B2", "Ardenix B2 lamp\n- colour: ivory\n- battery life: 30 hours"),
    Passage("C3", "Ardenix C3 lamp\n- colour: maroon\n- battery life: 8 hours"),
)


class FoundAlways:
    """A retriever that finds the same cards with given scores, and remembers what was asked."""

    def __init__(self, scores: tuple[float, ...] = (5.0, 3.0, 1.0)) -> None:
        self.scores, self.queries = scores, []

    def search(self, queries, k):
        self.queries += queries
        pairs = list(zip(CARDS, self.scores, strict=False))[:k]
        hits = [Hit(card, score, rank) for rank, (card, score) in enumerate(pairs, start=1)]
        return [hits for _ in queries]


class WordTokenizer:
    """Every word is a token."""

    def __call__(self, text, add_special_tokens=True, return_offsets_mapping=False):
        spans = [match.span() for match in re.finditer(r"\S+", text)]
        return SimpleNamespace(input_ids=list(range(len(spans))), offset_mapping=spans)


@pytest.fixture
def said(monkeypatch):
    """In place of the model: answers "teal" and keeps the prompts that it was given."""
    prompts = []

    def complete(model, tokenizer, asked, prefix=None, **settings):
        prompts.extend(asked)
        return ["teal"] * len(asked)

    monkeypatch.setattr(utils.inference, "complete", complete)
    monkeypatch.setattr(utils.inference, "encode_prefix", lambda model, tokenizer, text: text)
    return prompts


def pipeline(retriever=None, **settings) -> Pipeline:
    return Pipeline(None, WordTokenizer(), retriever or FoundAlways(), **settings)


# --- the ways through the pipeline ----------------------------------------------------------------


def test_a_rule_answers_without_search_or_model(said):
    retriever = FoundAlways()
    answer = pipeline(retriever, routes=ROUTES).answer("When are your opening hours?")
    assert (answer.text, answer.route) == ("9:00 to 17:00", "rule")
    assert answer.citation == ("rule: opening hours",)
    assert retriever.queries == said == []
    assert trace_text(answer) == (
        "1. small talk: nothing fits.\n"
        "2. rule: 'rule: opening hours' fits. Its answer is given, the model isn't asked."
    )


def test_routes_are_asked_in_their_order(said):
    broad = {"all": RuleRetriever([Rule("all", ("hours",), "always")])}
    question = "When are your opening hours?"
    assert pipeline(routes={**broad, **ROUTES}).answer(question).route == "all"
    assert pipeline(routes={**ROUTES, **broad}).answer(question).route == "rule"


def test_a_rewritten_question_is_routed_searched_and_read(said):
    def rewrite(questions):
        return [
            question.replace("a1", "A1").replace("when open", "opening hours")
            for question in questions
        ]

    retriever = FoundAlways()
    real = pipeline(retriever, rewrite=rewrite, routes=ROUTES)
    by_rule, read, same = real.answers(["when open?", "a1 colour?", "A1 town?"])
    assert by_rule.route == "rule"
    assert (by_rule.question, read.question) == ("when open?", "a1 colour?")  # as it was asked
    assert retriever.queries == ["A1 colour?", "A1 town?"]
    assert [prompt.splitlines()[-2] for prompt in said] == [
        *("Question: A1 colour?", "Question: A1 town?"),
    ]
    assert trace_text(read).startswith("1. rewrite: understood as 'A1 colour?'.")
    assert trace_text(same).startswith("1. rewrite: nothing to change.")


def test_what_no_rule_catches_is_searched_read_and_cited(said):
    answer = pipeline(routes=ROUTES).answer("What colour is the A1?")
    assert (answer.text, answer.route, answer.citation) == ("teal", "retrieval", ("A1",))
    assert said == [answer.prompt] == [open_book(CARDS[0].text, "What colour is the A1?")]
    assert [step.stage for step in answer.trace] == [
        *("small talk", "rule", "retrieve", "decide", "prompt", "answer", "cite"),
    ]
    lines = trace_text(answer).splitlines()
    assert lines[2] == "3. retrieve: A1 (score 5.00)."
    assert lines[5] == "6. answer: the model continues with 'teal'."
    assert lines[6] == "7. cite: A1."


@pytest.mark.parametrize(("threshold", "route"), [(5.0, "retrieval"), (5.01, "refused")])
def test_a_score_that_reaches_the_threshold_is_answered(said, threshold, route):
    answer = pipeline(threshold=threshold).answer("What colour is the A1?")
    assert answer.route == route
    if route == "refused":
        assert said == []
        assert (answer.text, answer.citation, answer.prompt) == (REFUSAL, (), "")
        assert answer.hits[0].passage.id == "A1"  # one may still look at what was found
        assert "2. decide: refuse, below the threshold 5.01" in trace_text(answer)


def test_nothing_found_is_refused_even_without_a_threshold(said):
    answer = pipeline(FoundAlways(scores=())).answer("What colour is the A1?")
    assert (answer.route, answer.hits) == ("refused", ())
    assert said == []
    assert "nothing was found" in trace_text(answer)


def test_an_answer_on_no_card_is_shown_without_a_citation_or_refused(said):
    question = "What colour is the B2?"
    retriever = FoundAlways()
    retriever.search = lambda queries, k: [[Hit(CARDS[1], 4.0, 1)] for _ in queries]
    shown = pipeline(retriever).answer(question)
    assert (shown.text, shown.route, shown.citation) == ("teal", "retrieval", ())
    refused = pipeline(retriever, must_cite=True).answer(question)
    assert (refused.text, refused.route, refused.citation) == (REFUSAL, "refused", ())
    assert "the model continues with 'teal'" in trace_text(refused)
    assert trace_text(refused).endswith("so the model made it up.")


def test_several_passages_stand_with_the_best_one_last(said):
    answer = pipeline(k=3).answer("Which?")
    first, second, third = (card.text for card in CARDS)
    assert said == [f"{third}\n\n{second}\n\n{first}\nQuestion: Which?\nAnswer:"]
    assert [hit.passage.id for hit in answer.hits] == ["A1", "B2", "C3"]
    assert answer.citation == ("A1",)
    assert "3 passages, the best one last," in trace_text(answer)


def test_the_best_passage_can_stand_first(said):
    answer = pipeline(k=2, best_last=False).answer("Which?")
    assert said == [f"{CARDS[0].text}\n\n{CARDS[1].text}\nQuestion: Which?\nAnswer:"]
    assert "2 passages, the best one first," in trace_text(answer)


def test_one_passage_needs_no_separator():
    assert passages_prompt([CARDS[0].text], "Which?") == open_book(CARDS[0].text, "Which?")


# --- the token budget ---------------------------------------------------------------------------


def test_passages_are_kept_best_first_while_they_fit():
    texts = ["a b c", "d e", "f"]
    needed = len(["Question:", "Which?", "Answer:"])
    for room, kept in {3: texts[:1], 4: texts[:1], 5: texts[:2], 6: texts, 99: texts}.items():
        assert fit_passages(WordTokenizer(), texts, "Which?", needed + room) == kept


def test_a_passage_that_is_too_long_is_cut_at_its_end():
    assert fit_passages(WordTokenizer(), ["a b  c"], "Which?", 5) == ["a b"]
    with pytest.raises(ValueError, match="question alone fills the prompt's 3 tokens"):
        fit_passages(WordTokenizer(), ["a b c"], "Which?", 3)


def test_the_trace_says_what_the_budget_left_out(said):
    words = len(CARDS[0].text.split())
    trace = trace_text(pipeline(k=3, budget=words + 3).answer("Which?"))
    assert "1 passage and the question" in trace
    assert f"2 more did not fit into {words + 3} tokens." in trace
    assert "was cut to fit" not in trace
    trace = trace_text(pipeline(budget=words + 2).answer("Which?"))
    assert f"The passage was cut to fit into {words + 2} tokens." in trace
    assert said[-1].startswith(CARDS[0].text[:40])


def test_the_real_tokenizer_keeps_to_the_budget(language_model):
    _, tokenizer = language_model
    texts = ["Ein Gerät für Öl; цвет: синий. 色は青です。" * 30, "short"]
    question = "Which colour?"
    for budget in (20, 60, 150):
        kept = fit_passages(tokenizer, texts, question, budget)
        assert len(kept) == 1
        assert texts[0].startswith(kept[0])
        prompt = passages_prompt(kept, question)
        assert budget - 5 <= len(tokenizer(prompt).input_ids) <= budget + 1


def test_answers_come_in_the_order_of_the_questions(said):
    asked = ["colour?", "opening hours?", "town?", "Thanks!", "month?"]
    answers = pipeline(routes=ROUTES).answers(asked)
    assert [answer.question for answer in answers] == asked
    assert [answer.route for answer in answers] == [
        *("retrieval", "rule", "retrieval", "small talk", "retrieval"),
    ]
    assert len(said) == 3


def test_no_questions_no_answers(said):
    assert pipeline().answers([]) == []


def test_questions_may_come_one_by_one(said):
    answers = pipeline().answers(text for text in ("colour?", "town?"))
    assert [answer.question for answer in answers] == ["colour?", "town?"]


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        (["Which?", " "], ValueError, "number 2 is empty"),
        (["x" * (LONGEST_QUESTION + 1)], ValueError, "at most"),
        ("Which?", TypeError, "a list"),
        ([None], TypeError, "number 1 must be a text"),
        (["Which \ud800?"], ValueError, "half of a character"),
    ],
)
def test_bad_questions_are_said_before_any_is_answered(said, asked, error, message):
    with pytest.raises(error, match=message):
        pipeline().answers(asked)
    assert said == []


def test_less_than_one_passage_is_an_error(said):
    with pytest.raises(ValueError, match="k is 0"):
        pipeline(k=0)


@pytest.mark.parametrize(
    ("answer", "holds"),
    [
        ("12 hours", True),
        ("2 hours", False),
        ("Teal.", True),
        ("tea", False),
        ("Ardenix A1", True),
        ("", False),
        ("?", False),
    ],
)
def test_an_answer_stands_in_a_passage_word_for_word(answer, holds):
    assert stands_in(answer, CARDS[0].text) is holds


# --- with the real model --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def practice():
    """Another catalogue than the lessons', its questions, and its cards as a store."""
    world = make_world(seed=7)
    store = LexicalRetriever([Passage(p.name, attribute_list(p)) for p in world.products])
    return random.Random(4).sample(questions(world, "held_out"), 40), store


def test_the_pipeline_reads_most_answers_off_the_right_card(language_model, practice):
    model, tokenizer = language_model
    asked, store = practice
    real = Pipeline(model, tokenizer, store)
    answers = real.answers([question.text for question in asked])
    right = [exact_match(a.text, q.answer) for a, q in zip(answers, asked, strict=True)]
    assert bootstrap(right, [q.product for q in asked]).estimate >= 0.75
    assert all(a.hits[0].passage.id == q.product for a, q in zip(answers, asked, strict=True))
    for answer, is_right in zip(answers, right, strict=True):
        assert not is_right or answer.citation == (answer.hits[0].passage.id,)
    # One by one gives the same as a batch, and the prompts are what was said to be read.
    for answer in answers[:3]:
        assert real.answer(answer.question) == answer


def test_a_streamed_answer_ends_as_the_plain_one(language_model, practice):
    model, tokenizer = language_model
    asked, store = practice
    for settings in ({}, {"examples": ""}, {"routes": ROUTES}):
        real = Pipeline(model, tokenizer, store, **settings)
        *growing, last = list(real.stream(asked[0].text))
        assert last == real.answer(asked[0].text)
        texts = [answer.text for answer in growing]
        assert texts[0] == ""
        assert all(
            later.startswith(earlier) for earlier, later in zip(texts, texts[1:], strict=False)
        )
        assert texts[-1] == last.text
    hello = list(real.stream("Hello!"))
    assert [answer.route for answer in hello] == ["small talk"]


def test_the_score_tells_a_model_that_does_not_exist(practice):
    asked, store = practice
    ghosts = [q for q in questions(make_world(seed=7), "unanswerable") if "no-such-model" in q.id]
    lowest = min(hits[0].score for hits in store.search([q.text for q in asked], 1))
    assert max(hits[0].score for hits in store.search([q.text for q in ghosts], 1)) < lowest


# --- risk against coverage ------------------------------------------------------------------


def test_risk_and_coverage_by_hand():
    curve = risk_coverage([1.0, 4.0, 3.0, 2.0], [0, 1, 1, 0])
    np.testing.assert_allclose(curve.thresholds, [4, 3, 2, 1])
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curve.risk, [0, 0, 1 / 3, 1 / 2])


def test_questions_with_one_score_are_answered_together():
    curve = risk_coverage([2.0, 1.0, 2.0, 1.0], [1, 0, 0, 1])
    np.testing.assert_allclose(curve.thresholds, [2, 1])
    np.testing.assert_allclose(curve.coverage, [0.5, 1])
    np.testing.assert_allclose(curve.risk, [0.5, 0.5])


def test_a_curve_says_what_each_threshold_does():
    generator = np.random.default_rng(0)
    scores, right = generator.integers(0, 9, 50) / 2, generator.integers(0, 2, 50)
    curve = risk_coverage(scores, right)
    for threshold, coverage, risk in zip(curve.thresholds, curve.coverage, curve.risk, strict=True):
        answered = scores >= threshold
        assert coverage == pytest.approx(answered.mean())
        assert risk == pytest.approx(1 - right[answered].mean())


@pytest.mark.parametrize(
    ("right", "bound", "threshold"),
    [
        ([1, 1, 0, 0], 0.0, 3.0),
        ([1, 1, 0, 0], 0.34, 2.0),
        ([1, 1, 0, 0], 0.5, 1.0),
        ([0, 1, 1, 1], 0.3, 1.0),  # the risk falls again further down
        ([0, 0, 0, 0], 0.9, float("inf")),
    ],
)
def test_the_threshold_answers_most_within_the_bound(right, bound, threshold):
    assert choose_threshold([4.0, 3.0, 2.0, 1.0], right, bound) == threshold


@pytest.mark.parametrize(("scores", "right"), [([], []), ([1.0], [1, 0]), ([[1.0]], [[1]])])
def test_a_curve_needs_one_verdict_for_each_score(scores, right):
    with pytest.raises(ValueError, match="one score and one verdict"):
        risk_coverage(scores, right)
