"""The inspector shows what retrievers find, and by which words, with widgets and without."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from tests.test_widgets import in_notebook
from utils.hit_tables import (
    ALONE,
    BESIDE,
    agreement,
    hits_html,
    hits_text,
    marked,
    shared_words,
)
from utils.passages import Passage, rank_hits
from utils.retrieval import DenseRetriever, HybridRetriever, LexicalRetriever
from utils.retrieval_inspector import ALL, Inspector, inspect_retrieval, search_all
from utils.worlds import load_world, prose_card

CARDS = [
    Passage("K340", "The Velbrin K340 is teal."),
    Passage("K340 Lite", "The Velbrin K340 Lite has a <b>copper</b> case."),
    Passage("kettle", "It heats water & tea."),
]
LEXICAL = LexicalRetriever(CARDS)


class Fixed:
    """Finds the same passages for every question."""

    def __init__(self, *numbers: int) -> None:
        self.passages = [CARDS[number] for number in numbers]

    def search(self, queries, k):
        found = self.passages[:k]
        return [rank_hits(found, [0.5] * len(found)) for _ in queries]


class Broken:
    """A search that fails in its own way."""

    def search(self, queries, k):
        if queries == ["first"]:
            return [[]]
        raise LookupError("<the index is gone>")


def hits(*numbers: int):
    return Fixed(*numbers).search(["any"], 10)[0]


class Tables(HTMLParser):
    """The tables of a page: caption, and rows of (tag, scope, text); complains of open tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.captions: list[str] = []
        self.rows: list[list[tuple[str, str | None, str]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "caption":
            self.captions.append("")
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append((tag, dict(attrs).get("scope"), ""))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "caption" in self.open:
            self.captions[-1] += data
        elif {"th", "td"} & set(self.open):
            tag, scope, text = self.rows[-1][-1]
            self.rows[-1][-1] = (tag, scope, text + data)


# -- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "text", "words"),
    [
        ("Is the K340 Lite teal?", CARDS[1].text, ["k340", "lite", "model:k340 lite"]),
        ("Is the K340 teal?", CARDS[1].text, ["k340"]),
        ("Teal or TEAL tea?", "tea, teal", ["teal", "tea"]),
        ("Something for cold feet", CARDS[0].text, []),
        ("什么灯是蓝色的", "这盏灯是蓝色的。", ["灯", "是", "蓝", "色", "的"]),
        ("Сколько светит Лампа", "лампа светит", ["светит", "лампа"]),
        ("", "a text", []),
    ],
)
def test_shared_words_are_those_of_bm25_in_the_questions_order(question, text, words):
    assert shared_words(question, text) == words


@pytest.mark.parametrize(
    ("question", "text", "parts"),
    [
        ("the K340 Lite", "A K340 Lite, lite.", ["K340 Lite", "lite"]),
        ("the K340", "A K340 Lite.", ["K340"]),
        ("the K-340 Pro", "It: K-340 Pro", ["K-340 Pro"]),
        ("teal", "Steal Teal TEAL-blue", ["Teal", "TEAL"]),
        ("蓝灯", "这盏灯是蓝色的", ["灯", "蓝"]),
        ("İstanbul", "in İSTANBUL, İstanbul", ["İSTANBUL", "İstanbul"]),
        ("of the", "of the", []),
    ],
)
def test_shared_words_are_marked_where_they_stand(question, text, parts):
    pieces = list(marked(text, shared_words(question, text)))
    assert "".join(piece for piece, _ in pieces) == text
    assert [piece for piece, shared in pieces if shared] == parts


# -- tables and sentences -------------------------------------------------------------------------


def test_a_table_has_a_caption_and_headings_for_columns_and_rows():
    question = "the K340 Lite in teal"
    found = {"BM25": LEXICAL.search([question], 2)[0]}
    tables = Tables(hits_html(question, found, 2))
    assert tables.captions == ["BM25: 2 passages"]
    head, first, second = tables.rows
    assert [(tag, scope) for tag, scope, _ in head] == [("th", "col")] * 4
    assert [text for _, _, text in head] == ["rank", "score", "passage", "shared words"]
    assert [(tag, scope) for tag, scope, _ in first] == [("th", "row")] + [("td", None)] * 3
    assert [row[0][2] for row in (first, second)] == ["1", "2"]
    score = found["BM25"][0].score
    assert float(first[1][2]) == pytest.approx(score, rel=1e-3)
    assert first[2][2] == f"K340 Lite{CARDS[1].text}"
    assert first[3][2] == "k340, lite, model name: k340 lite"
    assert second[3][2] == "k340, teal"


def test_shared_words_are_bold_and_underlined():
    shown = hits_html("the K340 Lite", {"BM25": hits(1)}, 1)
    assert "The Velbrin <strong><u>K340 Lite</u></strong> has a" in shown


def test_what_shares_no_word_is_said_in_words():
    shown = Tables(hits_html("warm feet", {"dense": hits(2)}, 1))
    assert shown.rows[1][3][2] == "no shared word"
    assert "(score 0.5000; no shared word): It heats water" in hits_text(
        "warm feet", {"dense": hits(2)}, 1
    )


def test_texts_are_never_taken_for_html():
    nasty = Passage("<i>id</i>", "a <script>alert(1)</script> &amp; x")
    found = {"<u>name</u>": rank_hits([nasty], [1.0])}
    shown = hits_html("<script> <em>x</em>", found, 1)
    assert not re.search("<script|<i>|<em>x|<u>name", shown)
    tables = Tables(shown)
    assert tables.captions == ["<u>name</u>: 1 passage"]
    assert tables.rows[1][2][2] == nasty.id + nasty.text
    assert tables.rows[1][3][2] == "script, x"


def test_fewer_passages_than_asked_for_are_said():
    assert Tables(hits_html("tea", {"all": hits(0, 1, 2)}, 50)).captions == [
        "all: 3 passages (50 asked for)"
    ]
    shown = Tables(hits_html("tea", {"all": []}, 5))
    assert (shown.captions, shown.rows) == (["all: nothing found"], [])
    assert "all: nothing found" in hits_text("tea", {"all": []}, 5)


def test_long_texts_are_shortened_between_words_and_that_is_said():
    long = Passage("long", "copper " * 1000 + "teal")
    found = rank_hits([long], [1.0])
    for tables, longest in (({"a": found}, ALONE), ({"a": found, "b": found}, BESIDE)):
        shown = hits_html("teal", tables, 1)
        assert f"Texts are shown up to {longest} characters." in shown
        text = Tables(shown).rows[1][2][2]
        assert re.fullmatch(r"long(copper )+\.\.\.", text)
        assert longest - 10 < len(text) < longest + 10
        assert Tables(shown).rows[1][3][2] == "teal"  # of the whole text
    whole = hits_html("teal", {"a": hits(0)}, 1)
    assert "Texts are shown" not in whole
    giant = Tables(hits_html("x", {"a": rank_hits([Passage("g", "灯" * 5000)], [1.0])}, 1))
    assert giant.rows[1][2][2] == "g" + "灯" * ALONE + " ..."


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"BM25": hits(0)}, ""),
        (
            {"BM25": hits(0, 1), "dense": hits(0, 2)},
            "BM25 and dense agree on the first passage, K340; in every table: 1 of 3 passages.",
        ),
        (
            {"BM25": hits(0), "dense": hits(1, 0), "fused": hits(0)},
            "They differ in the first passage: K340 by BM25 and fused, K340 Lite by dense; "
            "in every table: 1 of 2 passages.",
        ),
        (
            {"BM25": [], "dense": hits(2)},
            "They differ in the first passage: none by BM25, kettle by dense; "
            "in every table: 0 of 1 passages.",
        ),
        ({"BM25": [], "dense": [], "fused": []}, "BM25, dense and fused find nothing."),
    ],
)
def test_one_sentence_says_where_retrievers_agree(found, sentence):
    assert agreement(found) == sentence
    assert sentence in hits_text("teal", found, 2)
    assert sentence in hits_html("teal", found, 2)


def test_plain_text_lists_what_each_retriever_finds():
    found = {"BM25": hits(0), "dense": hits(1, 2)}
    assert hits_text("Is the K340 teal?", found, 2).split("\n") == [
        "Question: Is the K340 teal?",
        agreement(found),
        "",
        "BM25: 1 passage (2 asked for)",
        "1. K340 (score 0.5000; k340, teal, model name: k340): The Velbrin K340 is teal.",
        "",
        "dense: 2 passages",
        "1. K340 Lite (score 0.5000; k340): The Velbrin K340 Lite has a <b>copper</b> case.",
        "2. kettle (score 0.5000; no shared word): It heats water & tea.",
    ]


# -- the widgets ----------------------------------------------------------------------------------

EXAMPLES = ["the K340 Lite", "tea"]


@pytest.fixture
def inspector() -> Inspector:
    return Inspector({"BM25": LEXICAL, "fixed": Fixed(0, 1, 2)}, EXAMPLES, 2)


def shows(inspector: Inspector, question: str, k: int, *names: str) -> bool:
    """Whether exactly these retrievers' hits are shown."""
    retrievers = {name: inspector.retrievers[name] for name in names}
    return inspector.view.value == hits_html(question, search_all(retrievers, question, k), k)


def test_the_first_example_is_searched_at_once_by_all(inspector):
    assert shows(inspector, "the K340 Lite", 2, "BM25", "fixed")
    assert inspector.question.value == "the K340 Lite"
    assert "Found below." in inspector.status.value


def test_enter_the_button_and_an_example_search(inspector):
    inspector.question.value = "teal"
    inspector.question._handle_custom_msg({"event": "submit"}, [])
    assert shows(inspector, "teal", 2, "BM25", "fixed")
    inspector.question.value = "copper"
    inspector.button.click()
    assert shows(inspector, "copper", 2, "BM25", "fixed")
    inspector.examples[1].click()
    assert shows(inspector, "tea", 2, "BM25", "fixed")
    assert inspector.question.value == "tea"


def test_another_retriever_or_k_searches_the_same_question_again(inspector):
    inspector.question.value = "typed, and not yet asked"
    inspector.retriever.value = "BM25"
    assert shows(inspector, "the K340 Lite", 2, "BM25")
    inspector.k.value = 1
    assert shows(inspector, "the K340 Lite", 1, "BM25")
    inspector.retriever.value = ALL
    assert shows(inspector, "the K340 Lite", 1, "BM25", "fixed")


def test_k_larger_than_the_corpus_shows_what_there_is(inspector):
    inspector.k.value = 40
    assert "fixed: 3 passages (40 asked for)" in inspector.view.value
    inspector.k.value = 0
    assert inspector.k.value == 1


def test_an_empty_question_is_said_in_the_status_line(inspector):
    before = inspector.view.value
    inspector.question.value = "  "
    inspector.button.click()
    assert "Type a question first." in inspector.status.value
    assert inspector.view.value == before


def test_a_search_that_fails_is_said_in_the_status_line():
    inspector = Inspector({"broken": Broken()}, ["first"], 2)
    before = inspector.view.value
    inspector.question.value = "second"
    inspector.button.click()
    assert "Not asked: LookupError: &lt;the index is gone&gt;" in inspector.status.value
    assert inspector.view.value == before
    inspector.k.value = 3  # searches what was asked before the failure
    assert "Found below." in inspector.status.value


def test_the_choice_of_retriever_is_hidden_where_there_is_one(inspector):
    assert inspector.retriever.layout.display is None
    assert Inspector({"BM25": LEXICAL}, EXAMPLES, 2).retriever.layout.display == "none"


# -- the call -------------------------------------------------------------------------------------


def test_without_widgets_the_first_example_is_printed(capsys):
    retrievers = {"BM25": LEXICAL, "fixed": Fixed(0, 1, 2)}
    inspect_retrieval(retrievers, EXAMPLES, k=2)
    out = capsys.readouterr().out
    assert out.startswith(hits_text("the K340 Lite", search_all(retrievers, EXAMPLES[0], 2), 2))
    assert "retriever.search(['your question'], k=2)" in out


def test_in_a_notebook_widgets_and_plain_text_are_shown():
    (shown,) = in_notebook(
        "from tests.test_retrieval_inspector import *",
        "inspect_retrieval({'BM25': LEXICAL}, EXAMPLES)",
    )
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert shown["text/plain"].startswith("Question: the K340 Lite\n")


@pytest.mark.parametrize(
    ("retrievers", "examples", "k", "error", "message"),
    [
        ({}, ["tea"], 5, ValueError, "at least one retriever"),
        ({"BM25": LEXICAL}, [], 5, ValueError, "at least one example"),
        ({"BM25": LEXICAL}, "tea", 5, TypeError, r"\[question\]"),
        ({"BM25": LEXICAL}, ["tea"], 0, ValueError, "k is 0"),
    ],
)
def test_bad_arguments_are_named(retrievers, examples, k, error, message):
    with pytest.raises(error, match=message):
        inspect_retrieval(retrievers, examples, k)


def test_real_retrievers_side_by_side(encoder):
    passages = [Passage(p.name, prose_card(p), p.name) for p in load_world().products]
    dense, lexical = DenseRetriever(encoder, passages), LexicalRetriever(passages)
    retrievers = {"BM25": lexical, "dense": dense, "fused": HybridRetriever(dense, lexical)}
    name = passages[1].id
    inspector = Inspector(retrievers, [f"What colour is the {name}?", "dust under my sofa"], 3)
    assert f"BM25, dense and fused agree on the first passage, {name};" in inspector.view.value
    model = name.lower().partition(" ")[2]
    assert f"model name: {model}" in inspector.view.value
    inspector.examples[1].click()
    assert "none by BM25, " in inspector.view.value
    assert "vacuum cleaner" in inspector.view.value
    assert inspector.view.value.count("no shared word") == 6
