"""Rules, small talk and the catalogue: which questions they answer, and which they let pass."""

from __future__ import annotations

import pytest

from utils.routes import CatalogueLookup, Rule, RuleRetriever, SmallTalk

RULES = (
    Rule("opening hours", ("opening", "hours"), "9:00 to 17:00"),
    Rule("hours", ("hours",), "hours of what?"),
    Rule("returns", ("Return",), "within 30 days"),
)
RECORDS = {
    "Ardenix A1": {"colour": "teal", "battery": "12 hours"},
    "Ardenix A1 Lite": {"colour": "ivory", "battery": "30 hours"},
    "Øst Ω7": {"colour": "grün"},
}
WORDS = {"colour": ("colour", "color"), "battery": ("battery", "charge")}


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("What are your opening hours?", ["rule: opening hours", "rule: hours"]),
        ("OPENING, and which HOURS!", ["rule: opening hours", "rule: hours"]),
        ("How many hours?", ["rule: hours"]),
        ("May I return it?", ["rule: returns"]),
        ("Is it returnable after happyhours?", []),
        ("", []),
    ],
)
def test_a_rule_fits_when_all_its_words_are_there(question, names):
    hits = RuleRetriever(RULES).search([question], k=9)[0]
    assert [hit.passage.id for hit in hits] == names
    assert [hit.rank for hit in hits] == list(range(1, len(names) + 1))
    assert {hit.score for hit in hits} <= {1.0}


def test_a_rule_table_answers_each_query_with_at_most_k_hits():
    found = RuleRetriever(RULES).search(["opening hours", "colour"], k=1)
    assert [len(hits) for hits in found] == [1, 0]
    assert found[0][0].passage.text == "9:00 to 17:00"


def test_a_rule_without_words_is_an_error():
    with pytest.raises(ValueError, match="'all' has no words"):
        RuleRetriever([Rule("all", (), "yes")])


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Hello there!", "Hello! Ask me about our products."),
        ("good morning", "Hello! Ask me about our products."),
        ("Thank you very much.", "You're welcome."),
        ("Bye", "Goodbye!"),
        ("Hello, what colour is the A1?", None),
        ("Is it good?", None),
        ("So?", None),
        ("???", None),
    ],
)
def test_small_talk_is_small_talk_from_first_word_to_last(said, answer):
    hits = SmallTalk().search([said])[0]
    assert [hit.passage.text for hit in hits] == ([answer] if answer else [])


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("What colour is the Ardenix A1?", ("Ardenix A1, colour", "teal")),
        ("what color has the ardenix a1 lite", ("Ardenix A1 Lite, colour", "ivory")),
        ("How long does a charge of the Ardenix A1 last?", ("Ardenix A1, battery", "12 hours")),
        ("Which colour, Øst Ω7?", ("Øst Ω7, colour", "grün")),
        ("Colour of the Ardenix A1. Thanks!", ("Ardenix A1, colour", "teal")),
        ("What colour is the Ardenix A1 Max?", None),  # no such model: not the A1's colour
        ("What colour is the Ardenix A12?", None),
        ("Where is the Ardenix A1 made?", None),
        ("Colour of the Ardenix A1 and of the Ardenix A1 Lite?", None),
        ("Colour and battery of the Ardenix A1?", None),
        ("Battery of the Øst Ω7?", None),
        ("What colour?", None),
    ],
)
def test_the_catalogue_answers_where_one_product_and_one_field_are_named(question, found):
    hits = CatalogueLookup(RECORDS, WORDS).search([question])[0]
    assert [(hit.passage.id, hit.passage.text) for hit in hits] == ([found] if found else [])


def test_an_empty_catalogue_answers_nothing():
    assert CatalogueLookup({}, WORDS).search(["What colour is it?"]) == [[]]


def test_a_field_that_no_word_asks_for_is_an_error():
    with pytest.raises(ValueError, match="'colour' has no words"):
        CatalogueLookup(RECORDS, {"colour": ()})
