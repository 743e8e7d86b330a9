"""Lesson 04's ledger, rewriters, typed questions and steps."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from utils import repair, worlds
from utils.ledger import Ledger, make_ledger
from utils.passages import Passage
from utils.repair import CHANGES, LIST, PROSE, STEPS, Parts, Settings
from utils.rewrite import ModelRewriter, NameRewriter
from utils.world_typing import as_typed


@pytest.fixture(scope="module")
def practice() -> worlds.World:
    return worlds.make_world(seed=7, families=3)


# --- the ledger -------------------------------------------------------------------------------


def test_each_question_falls_into_one_cell():
    ledger = make_ledger([1, True, 0, 1, 0.0, 1], [1.0, 0, 0, True, 1, 0])
    assert ledger == Ledger(found_right=2, found_wrong=2, missed_right=1, missed_wrong=1)
    assert len(ledger) == 6
    assert ledger.table().splitlines()[2:] == ["| found | 2 | 2 |", "| missed | 1 | 1 |"]


@pytest.mark.parametrize(
    ("cells", "culprit"),
    [((5, 2, 0, 1), "reader"), ((5, 1, 0, 2), "search"), ((5, 1, 3, 1), "neither")],
)
def test_the_larger_loss_names_the_culprit(cells, culprit):
    assert Ledger(*cells).culprit == culprit


def test_a_ledger_takes_ones_and_zeros_of_equal_number():
    with pytest.raises(ValueError, match="2 places, but 1 answers"):
        make_ledger([1, 0], [1])
    with pytest.raises(ValueError, match="1 or 0 only"):
        make_ledger([0.5], [1])


# --- typed questions and rewriters ------------------------------------------------------------


def test_a_typed_question_asks_the_same_in_small_letters():
    asked = worlds.questions(worlds.make_world(seed=7), "held_out")
    typed = [as_typed(question) for question in asked]
    assert typed == [as_typed(question) for question in asked]  # no chance but the question's id
    for before, after in zip(asked, typed, strict=True):
        assert replace(after, text=before.text) == before
        assert after.text == after.text.lower()
        assert not after.text.endswith("?")
    joined = {after.text.count("-") for after in typed}
    assert joined == {0, 1}
    slipped = [
        q.product.split()[0].lower() not in t.text for q, t in zip(asked, typed, strict=True)
    ]
    assert 0.4 < sum(slipped) / len(slipped) < 0.6


NAMES = ("Velbrin K340", "Velbrin K340 Lite", "Velbrin K350", "Øst Ω7")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("whats the colour of velbrin k340", "whats the colour of Velbrin K340"),
        ("velbirn k340lite battery", "Velbrin K340 Lite battery"),
        ("VELBRIN K-340-LITE?", "Velbrin K340 Lite?"),
        ("Is the Velbrin K350 loud?", "Is the Velbrin K350 loud?"),
        ("øst ω7 colour", "Øst Ω7 colour"),
        ("velbrin k360 colour", "velbrin k360 colour"),  # no such model: not a slip for K350
        ("velbrin 340k colour", "Velbrin K340 colour"),
        ("what are your opening hours", "what are your opening hours"),
        ("???", "???"),
        ("", ""),
    ],
)
def test_a_known_name_is_written_as_the_catalogue_does(typed, meant):
    assert NameRewriter(NAMES)([typed]) == [meant]


def test_no_names_change_nothing_and_an_empty_name_is_an_error():
    assert NameRewriter([])(["velbrin k340"]) == ["velbrin k340"]
    with pytest.raises(ValueError, match="no letter and no digit"):
        NameRewriter(["K340", "--"])


def test_every_typed_name_is_recognised_and_no_other_model_is_mistaken():
    world = worlds.make_world(seed=7)
    rewrite = NameRewriter([product.name for product in world.products])
    asked = worlds.questions(world, "held_out")[::5]
    for question, text in zip(asked, rewrite([as_typed(q).text for q in asked]), strict=True):
        assert question.product in text
    ghosts = [q.text for q in worlds.questions(world, "unanswerable") if "no-such-model" in q.id]
    assert rewrite(ghosts) == ghosts


def test_the_model_rewrites_each_question_in_its_place(language_model):
    typed = ["what colour is the hestum f770", "in which town is the hestum f780 mini built"]
    rewritten = ModelRewriter(*language_model)(typed)
    assert len(rewritten) == 2
    assert all(text.strip() for text in rewritten)
    assert "town" in rewritten[1]


# --- the catalogue as one text ------------------------------------------------------------------


@pytest.mark.parametrize("card", [PROSE, LIST])
def test_every_card_stands_at_its_place_in_the_catalogue(practice, card):
    catalogue = repair.make_catalogue(practice, card)
    write = worlds.prose_card if card == PROSE else worlds.attribute_list
    for product in practice.products:
        start, end = catalogue.places[product.name]
        assert catalogue.text[start:end].endswith(write(product))
        assert product.name in catalogue.text[start : start + 40]


@pytest.mark.parametrize("card", [PROSE, LIST])
def test_an_answer_is_held_by_its_own_card_only(practice, card):
    catalogue = repair.make_catalogue(practice, card)
    records = repair.chunk_by_structure(catalogue.text)
    assert len(records) == len(practice.products)
    for question in worlds.questions(practice, "held_out"):
        holding = [p for p in records if repair.holds_answer(p, catalogue, question)]
        assert len(holding) == 1
        assert question.product in holding[0].text.splitlines()[0]


def test_a_window_that_ends_before_the_answer_does_not_hold_it(practice):
    catalogue = repair.make_catalogue(practice)
    question = worlds.questions(practice, "held_out")[0]
    start, end = catalogue.places[question.product]
    place = catalogue.text.index(question.answer, start)
    whole = Passage("1", catalogue.text[start:end], start=start)
    assert repair.holds_answer(whole, catalogue, question)
    cut = Passage("2", catalogue.text[start : place + 1], start=start)
    assert not repair.holds_answer(cut, catalogue, question)
    other = Passage("3", catalogue.text[:start] or "x", start=0)
    assert not repair.holds_answer(other, catalogue, question)


# --- the steps ------------------------------------------------------------------------------------


def test_each_step_turns_its_own_knobs_and_keeps_the_others():
    before = Settings()
    for (name, settings), change in zip(list(STEPS.items())[1:], CHANGES.items(), strict=True):
        assert name == change[0]
        turned = {k: v for k, v in asdict(settings).items() if v != asdict(before)[k]}
        assert turned == change[1]
        before = settings


def test_the_tuned_pipeline_reads_what_the_first_one_cannot(language_model, encoder, practice):
    parts = Parts(*language_model, encoder)
    asked = worlds.questions(practice, "held_out")[::6]
    first = repair.ask(Settings(), practice, asked, parts)
    tuned = repair.ask(repair.TUNED, practice, asked, parts)
    assert len(tuned.answers) == len(asked) == len(tuned.right)
    assert sum(first.right) <= 2
    assert sum(tuned.found) >= len(asked) - 1
    assert sum(tuned.right) >= len(asked) - 3
    typed = [as_typed(question) for question in asked]
    rewritten = repair.ask(replace(repair.TUNED, rewrite=repair.BY_NAMES), practice, typed, parts)
    assert sum(rewritten.right) >= len(asked) - 3


# -- what the course ships -----------------------------------------------------------------------


@pytest.mark.parametrize("name", STEPS)
def test_the_course_ships_every_step(name):
    outcome = repair.shipped(STEPS[name])
    assert len(outcome.right) == len(outcome.found) == len(outcome.answers) == 300


@pytest.mark.parametrize("name", repair.TYPED_ARMS)
def test_the_course_ships_every_way_of_typing(name):
    assert len(repair.shipped(repair.TYPED_ARMS[name], typed=True).right) == 300


def test_the_goal_of_the_course_is_reached_on_the_default_world():
    """On questions that nothing was tuned on."""
    assert sum(repair.shipped(repair.TUNED).right) >= 0.92 * 300


def test_what_is_measured_anew_is_what_is_shown(monkeypatch, tmp_path):
    monkeypatch.setenv("INSIDE_OUTSIDE_CACHE", str(tmp_path))
    anew = {"products": ["a"], "answers": ["b"], "right": [0.0], "found": [1.0]}
    monkeypatch.setattr(repair, "measure", lambda unit: anew)
    assert repair.shipped(repair.TUNED, recompute=True) == repair.Outcome(**anew)
    assert repair.shipped(repair.TUNED) != repair.Outcome(**anew)


def test_what_is_not_shipped_says_how_to_make_it(monkeypatch, tmp_path):
    monkeypatch.setenv("INSIDE_OUTSIDE_CACHE", str(tmp_path))
    with pytest.raises(LookupError, match="python -m utils.repair"):
        repair.shipped(replace(Settings(), k=99))
