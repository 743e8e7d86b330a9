"""The box hands questions on and says what happened, whatever goes wrong behind it."""

from __future__ import annotations

import asyncio

import pytest

from utils import question_box
from utils.question_box import QuestionBox, check_examples


class Recorder(QuestionBox):
    """Keeps the questions; some of them it can't take."""

    def __init__(self, examples: list[str]) -> None:
        super().__init__(examples, "Note")
        self.taken: list[str] = []

    def take(self, question: str) -> str:
        if question == "<gone>":
            raise KeyError(question)
        if question == "<long>":
            raise ValueError(f"{question} is too long.")
        self.taken.append(question)
        return "Noted <here>."


@pytest.fixture
def box() -> Recorder:
    return Recorder(["first", "second"])


def test_the_button_enter_and_the_examples_hand_the_question_on(box):
    box.question.value = "typed"
    box.button.click()
    box.question._handle_custom_msg({"event": "submit"}, [])
    box.question._handle_custom_msg({"event": "something else"}, [])
    box.examples[1].click()
    assert box.taken == ["typed", "typed", "second"]
    assert "Noted &lt;here&gt;." in box.status.value


def test_in_a_kernel_enter_waits_for_what_was_typed(box, monkeypatch):
    monkeypatch.setattr(question_box, "SECONDS_BEHIND", 0.01)

    async def kernel() -> None:
        box.question._handle_custom_msg({"event": "submit"}, [])
        box.question.value = "typed to the end"
        await asyncio.sleep(0.05)

    asyncio.run(kernel())
    assert box.taken == ["typed to the end"]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (" \n", "Type a question first."),
        ("<long>", "Not asked: &lt;long&gt; is too long."),
        ("<gone>", "Not asked: KeyError: &#x27;&lt;gone&gt;&#x27;"),
    ],
)
def test_what_goes_wrong_is_said_and_the_question_stays(box, question, said):
    box.question.value = question
    box.button.click()
    assert said in box.status.value
    assert box.question.value == question
    assert box.taken == []
    assert not box.button.disabled


def test_examples_are_a_list_of_at_least_one():
    check_examples(["one"])
    with pytest.raises(TypeError, match=r"\[question\]"):
        check_examples("one")
    with pytest.raises(ValueError, match="at least one"):
        check_examples([])
