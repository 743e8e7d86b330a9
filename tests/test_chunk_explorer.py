"""The chunk explorer says what a cut costs, and its knobs cut as the functions do."""

from __future__ import annotations

import re

import pytest

from tests.test_widgets import in_notebook
from utils.chunk_explorer import METHODS, WINDOWS, Explorer, explore_chunks
from utils.chunking import chunk_by_structure, chunk_sentences, chunk_windows
from utils.passage_boxes import (
    MOST_CHARACTERS,
    MOST_PASSAGES,
    chunks_html,
    chunks_text,
    holds,
    summary,
)
from utils.passages import Passage
from utils.worlds import load_world, prose_card

LETTERS = "a b c d e f g"
MANUAL = "# Lamps\nAll glow. Some blink.\n## K340\nIt is teal."
CARDS = [prose_card(product) for product in load_world().products[:5]]
NAME = load_world().products[0].name


# -- what is said of passages ---------------------------------------------------------------------


def test_a_summary_counts_passages_words_and_what_is_stored_again():
    assert summary(chunk_windows(LETTERS, 3, 1)) == (
        "3 passages. Words a passage: shortest 3, median 3, longest 3. "
        "Stored again because of overlap: 2 words, 29 % more than the text has."
    )
    # In a b c d, b c d e, ... the letters c, d, e stand twice or three times: 12 words for 7.
    assert "overlap: 9 words, 129 %" in summary(chunk_windows(LETTERS, 4, 3))
    assert summary(chunk_windows(LETTERS, 4)) == (
        "2 passages. Words a passage: shortest 3, median 3.5, longest 4. No word is stored twice."
    )


def test_a_word_that_comes_twice_in_the_text_is_not_shared():
    passages = chunk_windows("so it is so it is", 3)
    assert "No word is stored twice." in summary(passages)
    assert "shared" not in chunks_text(passages)
    assert "<u>" not in chunks_html(passages)


def test_a_summary_counts_the_headings_that_structure_adds():
    said = summary(chunk_by_structure(MANUAL))
    assert "shortest 5, median 5.5, longest 6" in said
    assert "No word is stored twice. Headings put in front of passages add 4 words." in said


def test_a_summary_names_the_passages_without_the_name():
    passages = chunk_windows(" ".join(CARDS), 40)
    without = [str(n) for n, p in enumerate(passages, start=1) if NAME not in p.text]
    assert without
    said = summary(passages, NAME)
    assert (
        f"“{NAME}” is missing in {len(without)} of {len(passages)}: {', '.join(without)}." in said
    )
    assert "Every passage holds “teal”." in summary(chunk_windows("teal teal", 1), "teal")
    assert summary(chunk_windows("x " * 30, 1), "lamp").endswith(
        "“lamp” is missing in 30 of 30: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 18 more."
    )


@pytest.mark.parametrize(
    ("text", "name", "held"),
    [
        ("the VELBRIN\n K340 glows", "Velbrin K340", True),
        ("the Velbrin K3401", "Velbrin K340", False),
        ("the Velbrin", "Velbrin K340", False),
        ("型号K340很轻", "K340", True),
        ("这盏灯是蓝色的", "灯", True),
        ("какая Лампа", "лампа", True),
        ("a (b) c", "(b)", True),
        ("whatever", "", True),
    ],
)
def test_a_passage_holds_a_name_as_whole_words(text, name, held):
    assert holds(Passage("1", text), name) is held


def test_plain_text_shows_numbers_lengths_shared_words_and_what_lacks_the_name():
    assert chunks_text(chunk_windows(LETTERS, 4, 2), "a b") == (
        "1: 4 words, 2 shared\n   a b «c d»\n"
        "2: 4 words, 4 shared, name missing\n   «c d e f»\n"
        "3: 3 words, 2 shared, name missing\n   «e f» g\n"
        "Words «in such marks» stand in a neighbouring passage too."
    )
    assert chunks_text(chunk_by_structure(MANUAL)) == (
        "1: 5 words\n   Lamps\n   All glow. Some blink.\n"
        "2: 6 words\n   Lamps > K340\n   It is teal."
    )


def test_html_underlines_shared_words_and_says_in_words_what_lacks_the_name():
    shown = chunks_html(chunk_windows(LETTERS, 4, 2), "a b")
    first, second, third = re.findall("<li.*?</li>", shown)
    assert "a b <u>c d</u></div>" in first
    assert "<u>c d e f</u></div>" in second
    assert "<strong>3</strong>: 3 words, 2 shared, <strong>name missing</strong>" in third
    assert "name missing" not in first
    assert ("dashed" in first, "dashed" in second) == (False, True)
    assert "Underlined words stand in a neighbouring box too." in shown
    assert "“a b” isn&#x27;t in it." in shown


def test_the_legend_names_only_what_is_there():
    plain = chunks_html(chunk_windows(LETTERS, 4))
    for word in ("Underlined", "Slanted", "broken"):
        assert word not in plain
    headed = chunks_html(chunk_by_structure(MANUAL))
    assert "Slanted" in headed
    assert "<em>Lamps &gt; K340</em>\nIt is teal." in headed


def test_what_stands_in_a_text_is_never_taken_for_html():
    passages = chunk_windows("<b>bold</b> & <script> x", 2, 1)
    shown = chunks_html(passages, "<i>")
    assert "&lt;b&gt;bold&lt;/b&gt; <u>&amp;</u></div>" in shown
    assert "<u>&amp; &lt;script&gt;</u></div>" in shown
    assert "“&lt;i&gt;” isn" in shown
    assert not re.search("<b>|<script|<i>", shown)
    headed = chunks_html(chunk_by_structure("# <i>A</i>\nb"))
    assert "<em>&lt;i&gt;A&lt;/i&gt;</em>" in headed


def test_chinese_characters_are_words():
    passages = chunk_windows("这盏灯是蓝色的。", 4, 1)
    assert chunks_text(passages).startswith("1: 4 words, 1 shared\n   这盏灯«是»\n2: 4 words")
    assert "overlap: 1 word, 14 %" in summary(passages)


@pytest.mark.parametrize("way", METHODS.values(), ids=list(METHODS))
@pytest.mark.parametrize("text", ["", " \n "])
def test_an_empty_document_has_no_passage(way, text):
    passages = way.cut(text, **way.arguments(way.size, 0))
    assert summary(passages) == "No passage: the document holds no word."
    assert chunks_text(passages) == chunks_html(passages) == ""


def test_what_is_left_out_is_said():
    many = chunk_windows("word " * 100, 1)
    said = f"Shown are the first {MOST_PASSAGES} passages; the other 40 are not shown, but counted."
    for shown in (chunks_text(many), chunks_html(many)):
        assert said in shown
    assert chunks_html(many).count("<li") == MOST_PASSAGES
    long = chunk_windows("x" * 99 + " " + "word " * 3000, 500)
    assert chunks_html(long).count("<li") == 2
    assert "the other 5 are not shown" in chunks_text(long)


def test_of_one_giant_word_the_beginning_is_shown():
    giant = chunk_windows("x" * (MOST_CHARACTERS + 7), 5)
    for shown in (chunks_text(giant, "y"), chunks_html(giant, "y")):
        assert "The last 7 characters of passage 1 are not shown." in shown
        assert shown.count("x") < MOST_CHARACTERS + 10
    assert "name missing" not in chunks_html(giant)


# -- the widgets ----------------------------------------------------------------------------------

TEXTS = {"cards": " ".join(CARDS), "manual": MANUAL, "empty": ""}


@pytest.fixture
def explorer() -> Explorer:
    return Explorer(TEXTS, 40, 10, {"cards": NAME})


def shows(explorer: Explorer, passages: list[Passage], name: str = "") -> bool:
    """Whether exactly this cut is shown, with its summary."""
    html = chunks_html(passages, name)
    return f">{html}</div>" in explorer.view.value and summary(passages, name).split(" “")[0] in (
        explorer.status.value
    )


def test_each_knob_is_seen_at_once(explorer):
    cards = TEXTS["cards"]
    assert shows(explorer, chunk_windows(cards, 40, 10), NAME)
    explorer.size.value = 25
    assert shows(explorer, chunk_windows(cards, 25, 10), NAME)
    explorer.overlap.value = 0
    assert shows(explorer, chunk_windows(cards, 25), NAME)
    assert "chunk_windows(text, size=25, overlap=0)" in explorer.status.value
    explorer.method.value = "sentences"
    assert shows(explorer, chunk_sentences(cards, 2), NAME)
    explorer.document.value = "manual"
    assert shows(explorer, chunk_sentences(MANUAL, 2))
    explorer.method.value = "structure"
    assert shows(explorer, chunk_by_structure(MANUAL))
    assert "chunk_by_structure(text, longest=150)" in explorer.status.value
    explorer.document.value = "empty"
    assert "No passage" in explorer.status.value


def test_the_overlap_stays_below_the_size(explorer):
    explorer.overlap.value = 39
    explorer.size.value = 5
    assert (explorer.overlap.value, explorer.overlap.max) == (4, 4)
    assert "size=5, overlap=4" in explorer.status.value
    explorer.overlap.value = 400
    assert explorer.overlap.value == 4
    explorer.size.value = 1
    assert (explorer.overlap.value, explorer.overlap.disabled) == (0, True)
    assert "size=1, overlap=0" in explorer.status.value
    explorer.size.value = 3
    assert not explorer.overlap.disabled


def test_structure_has_no_overlap(explorer):
    explorer.method.value = "structure"
    assert explorer.overlap.disabled
    assert explorer.size.description == "Longest (words)"
    explorer.method.value = "sentences"
    assert not explorer.overlap.disabled
    assert explorer.size.description == "Size (sentences)"


def test_each_way_of_cutting_keeps_its_place(explorer):
    explorer.size.value, explorer.overlap.value = 120, 60
    explorer.method.value = "sentences"
    explorer.size.value, explorer.overlap.value = 5, 3
    explorer.method.value = "structure"
    explorer.method.value = WINDOWS
    assert (explorer.size.value, explorer.overlap.value) == (120, 60)
    explorer.method.value = "sentences"
    assert (explorer.size.value, explorer.overlap.value) == (5, 3)


def test_a_slider_and_the_box_beside_it_go_together(explorer):
    row = explorer.box.children[1].children[1].children[0]
    box, slider = row.children
    assert box is explorer.size
    slider.value = 33
    assert box.value == 33
    assert "size=33" in explorer.status.value
    explorer.method.value = "sentences"
    assert (slider.max, slider.value) == (10, 2)


def test_the_choice_of_document_is_hidden_where_there_is_one(explorer):
    assert explorer.document.layout.display is None
    alone = Explorer({"manual": MANUAL}, 500, 10, {})
    assert alone.document.layout.display == "none"
    assert alone.size.layout.display is None
    assert alone.size.value == 500  # beyond the slider's usual end


def test_what_changes_is_spoken_and_the_passages_are_reached_by_keyboard(explorer):
    assert '<div role="status">' in explorer.status.value
    assert 'role="region" aria-label="Passages" tabindex="0"' in explorer.view.value


# -- the call -------------------------------------------------------------------------------------


def test_without_widgets_one_cut_is_printed_with_the_call_that_makes_it(capsys):
    explore_chunks({"cards": TEXTS["cards"]}, size=30, overlap=5, must_hold={"cards": NAME})
    passages = chunk_windows(TEXTS["cards"], 30, 5)
    out = capsys.readouterr().out
    assert out.startswith(f"cards, cut into windows of words. {summary(passages, NAME)}\n")
    assert chunks_text(passages, NAME) in out
    call = re.search(r"print\((.*)\)$", out.strip())[1]
    assert eval(call, globals(), {"texts": TEXTS}) == chunks_text(passages, NAME)


def test_in_a_notebook_widgets_and_plain_text_are_shown():
    (shown,) = in_notebook(
        "from utils.chunk_explorer import explore_chunks", "explore_chunks({'<a>': 'b c'})"
    )
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert shown["text/plain"].startswith("<a>, cut into windows of words. 1 passage.")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"texts": {}}, ValueError, "at least one document"),
        ({"texts": "a text"}, TypeError, "name"),
        ({"texts": TEXTS, "must_hold": {"leaflet": "x"}}, ValueError, "leaflet"),
        ({"texts": TEXTS, "size": 0}, ValueError, "size is 0"),
        ({"texts": TEXTS, "size": 5, "overlap": 5}, ValueError, "overlap is 5"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        explore_chunks(**arguments)
