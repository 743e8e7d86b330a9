"""Re-ranking by the likelihood of the question."""

from __future__ import annotations

import math

import pytest

from utils import worlds
from utils.chunking import Passage
from utils.inference import log_likelihoods
from utils.rerank import ASKED_AFTER, LikelihoodReranker, RerankedRetriever
from utils.retrieval import Hit


class Shelf:
    """A retriever that returns its passages in the order in which they stand."""

    def __init__(self, passages):
        self.passages = passages

    def search(self, queries, k):
        hits = [Hit(p, score=1.0 / n, rank=n) for n, p in enumerate(self.passages, start=1)]
        return [hits[:k] for _ in queries]


@pytest.fixture(scope="module")
def language_model(exact_model):
    """Scores are compared exactly here."""
    return exact_model


@pytest.fixture(scope="module")
def family():
    """One family of siblings of the development world, and a question about each."""
    world = worlds.make_world(seed=7, families=1)
    cards = [Passage(p.name, worlds.attribute_list(p), p.name) for p in world.products]
    asked = [q for q in worlds.questions(world, "held_out") if q.attribute == "colour"]
    return cards, asked


def test_the_own_card_is_moved_to_the_front(language_model, family):
    cards, asked = family
    reranker = LikelihoodReranker(*language_model)
    texts = [question.text for question in asked]
    found = RerankedRetriever(Shelf(cards), reranker).search(texts, k=1)
    right = [hits[0].passage.id == q.product for hits, q in zip(found, asked, strict=True)]
    assert len(asked) == len(cards) == 5
    assert sum(right) >= 4  # the shelf's order is right for one of the five


def test_scores_are_the_log_likelihoods_of_the_question(language_model, family):
    cards, asked = family
    question = asked[2].text
    hits = Shelf(cards).search([question], 3)
    (again,) = LikelihoodReranker(*language_model, examples=()).rerank([question], hits)
    alone = [
        log_likelihoods(*language_model, [f"{c.text}{ASKED_AFTER}"], [[f" {question}"]])[0][0]
        for c in cards[:3]
    ]
    by_id = {hit.passage.id: hit.score for hit in again}
    assert [by_id[card.id] for card in cards[:3]] == pytest.approx(alone, abs=1e-3)
    assert [hit.score for hit in again] == sorted(by_id.values(), reverse=True)
    assert [hit.rank for hit in again] == [1, 2, 3]


def test_questions_that_share_passages_keep_their_own_scores(language_model, family):
    cards, asked = family
    texts = [question.text for question in asked[:2]]
    reranker = LikelihoodReranker(*language_model)
    together = reranker.rerank(texts, Shelf(cards).search(texts, 2))
    for text, hits in zip(texts, together, strict=True):
        (alone,) = reranker.rerank([text], Shelf(cards).search([text], 2))
        assert [hit.passage.id for hit in hits] == [hit.passage.id for hit in alone]
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in alone], abs=1e-3)


def test_a_query_without_hits_stays_without(language_model, family):
    cards, asked = family
    texts = [asked[0].text, asked[1].text]
    hits = [[], Shelf(cards).search(texts[1:], 2)[0]]
    empty, two = LikelihoodReranker(*language_model).rerank(texts, hits)
    assert empty == []
    assert len(two) == 2


def test_examples_show_the_form(language_model, family):
    cards, asked = family
    plain, led = LikelihoodReranker(*language_model, ()), LikelihoodReranker(*language_model)
    hits = Shelf(cards).search([asked[0].text], 1)
    before, after = (r.rerank([asked[0].text], hits)[0][0].score for r in (plain, led))
    assert after > before


def test_a_giant_question_or_passage_counts_by_its_beginning(language_model, family):
    cards, _ = family
    words = "Does it come in teal, or in navy? "
    giant = [Passage("giant", "The lamp is of copper. " * 20_000), Passage("empty", "")]
    short = [Passage("giant", "The lamp is of copper. " * 200), Passage("empty", "")]
    reranker = LikelihoodReranker(*language_model, examples=())
    scores = []
    for passages, question in ((giant, words * 300), (short, words * 30)):
        hits = Shelf(cards[:1] + passages).search([question], 3)
        (again,) = reranker.rerank([question], hits)
        scores.append({hit.passage.id: hit.score for hit in again})
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)
    assert len(scores[0]) == 3


def test_odd_questions_do_no_harm(language_model, family):
    cards, _ = family
    odd = ["ランタンは何色ですか", "ما لون المصباح؟", "?!", "🏮", "\x00", "\u200b"]
    found = RerankedRetriever(Shelf(cards), LikelihoodReranker(*language_model), pool=2)
    for hits in found.search(odd, k=2):
        assert len(hits) == 2
        assert all(math.isfinite(hit.score) for hit in hits)


def test_k_beyond_the_shelf_gives_all_of_it(language_model, family):
    cards, asked = family
    found = RerankedRetriever(Shelf(cards), LikelihoodReranker(*language_model), pool=1)
    (hits,) = found.search([asked[0].text], k=1000)
    assert {hit.passage for hit in hits} == set(cards)
    assert found.search([], k=3) == []


@pytest.mark.parametrize(
    ("queries", "k", "error", "message"),
    [
        (["teal?"], 0, ValueError, "at least 1"),
        (["teal?"], -2, ValueError, "at least 1"),
        (["teal?"], 1.5, TypeError, "whole number"),
        (["teal?", " "], 1, ValueError, "number 2 is empty"),
        ([None], 1, TypeError, "number 1 must be a text"),
        (["\ud800"], 1, ValueError, "half of a character"),
        ("teal?", 1, TypeError, r"\[question\]"),
    ],
)
def test_bad_search_is_named(family, queries, k, error, message):
    with pytest.raises(error, match=message):
        RerankedRetriever(Shelf(family[0]), reranker=None).search(queries, k)


def test_what_does_not_fit_is_said(language_model, family):
    cards, asked = family
    with pytest.raises(ValueError, match="pool is 0"):
        RerankedRetriever(Shelf(cards), None, pool=0)
    reranker = LikelihoodReranker(*language_model)
    with pytest.raises(ValueError, match="1 questions, but 0 lists of hits"):
        reranker.rerank([asked[0].text], [])
    with pytest.raises(TypeError, match=r"\[question\]"):
        reranker.rerank(asked[0].text, [[]])
