"""The chat shows an answer and its trace, with widgets and without."""

from __future__ import annotations

import html
from dataclasses import replace

import pytest

from tests.test_widgets import in_notebook
from utils.chat import TURNS_KEPT, Chat, chat, turn_html, turn_text
from utils.passages import check_questions
from utils.rag import Answer, Step, check_lengths


class Echo:
    """A pipeline that answers with the question."""

    def answer(self, question: str) -> Answer:
        check_lengths(check_questions([question]))
        trace = (Step("rule", "no rule matches."), Step("cite", "<A1>."))
        return Answer(question, question.upper(), "retrieval", ("A1",), (), "", trace)

    def stream(self, question: str):
        last = self.answer(question)
        for text in ("", last.text[:2]):
            yield replace(last, text=text, trace=(Step("prompt", "1 passage."),))
        yield last


@pytest.fixture
def talk() -> Chat:
    return Chat(Echo(), ["first", "second"], Echo().answer("first"))


def test_a_turn_as_text():
    assert turn_text(Echo().answer("why?")) == (
        "You: why?\nAnswer: WHY? (from A1)\n1. rule: no rule matches.\n2. cite: <A1>."
    )


@pytest.mark.parametrize(
    ("route", "citation", "how"),
    [
        ("rule", ("rule: hours",), "by the route rule"),
        ("refused", (), "refused"),
        ("retrieval", (), "from no passage"),
    ],
)
def test_the_headline_says_where_an_answer_comes_from(route, citation, how):
    answer = Answer("q", "text", route, citation, (), "", ())
    assert f"Answer: text ({how})" in turn_text(answer)


def test_what_was_typed_is_never_taken_for_html():
    shown = turn_html(Echo().answer("<script>"))
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "&lt;A1&gt;" in shown
    assert shown.count("<li>") == 2


def test_an_answer_grows_while_it_is_written(talk):
    shown = []
    talk.log.observe(lambda change: shown.append(change["new"]), "value")
    talk.ask("what now?")
    assert "Answer:  (still writing)" in shown[0]
    assert "Answer: WH (still writing)" in shown[1]
    assert all('aria-busy="true"' in html for html in shown[:-1])
    assert 'aria-busy="false"' in shown[-1]
    assert "Answer: WHAT NOW? (from A1)" in shown[-1]
    assert shown[-1].count("You: what now?") == 1


def test_the_button_asks_and_empties_the_box(talk):
    talk.question.value = "what now?"
    talk.button.click()
    assert talk.question.value == ""
    assert talk.log.value.index("WHAT NOW?") < talk.log.value.index("FIRST")
    assert "Answered below." in talk.status.value
    assert not talk.button.disabled


def test_enter_asks(talk):
    talk.question.value = "what now?"
    talk.question._handle_custom_msg({"event": "submit"}, [])
    assert "WHAT NOW?" in talk.log.value


def test_an_example_asks_itself(talk):
    talk.examples[1].click()
    assert "SECOND" in talk.log.value


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("  ", "Type a question first."),
        ("\u00a0", "Type a question first."),
        ("x" * 2000, "Not asked: "),
        ("灯 " * 5000, "Not asked: "),
    ],
)
def test_a_question_that_cannot_be_taken_stays_in_the_box(talk, question, message):
    before = talk.log.value
    talk.question.value = question
    talk.button.click()
    assert message in talk.status.value
    assert (talk.question.value, talk.log.value) == (question, before)
    assert not talk.button.disabled


@pytest.mark.parametrize("question", ["?!", "🏮", "ما لون المصباح؟", "灯", "\x00 & \u202eteal"])
def test_odd_questions_are_asked_and_shown_as_they_are(talk, question):
    talk.question.value = question
    talk.button.click()
    assert talk.question.value == ""
    assert html.escape(question) in talk.log.value


def test_old_turns_make_room(talk):
    for number in range(TURNS_KEPT):
        talk.ask(f"question {number}")
    assert "FIRST" not in talk.log.value
    assert talk.log.value.count("<ol") == TURNS_KEPT


def test_without_widgets_the_first_turn_is_printed(capsys):
    chat(Echo(), ["why?"])
    out = capsys.readouterr().out
    assert out.startswith(turn_text(Echo().answer("why?")))
    assert "pipeline.answer('your question')" in out


def test_in_a_notebook_widgets_and_plain_text_are_shown():
    (shown,) = in_notebook("from tests.test_chat import *", "chat(Echo(), ['why?'])")
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert shown["text/plain"].startswith("You: why?")


def test_a_chat_needs_an_example():
    with pytest.raises(ValueError, match="at least one"):
        chat(Echo(), [])
