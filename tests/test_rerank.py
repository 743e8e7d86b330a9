"""Re-ranking by the likelihood of the question."""

from __future__ import annotations

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


def test_what_does_not_fit_is_said(language_model, family):
    cards, asked = family
    with pytest.raises(ValueError, match="pool is 0"):
        RerankedRetriever(Shelf(cards), None, pool=0)
    with pytest.raises(ValueError):
        LikelihoodReranker(*language_model).rerank([asked[0].text], [])
