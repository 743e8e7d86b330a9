"""A box for questions: type one and press Enter, or take an example; a line says what happened."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Sequence

SECONDS_BEHIND = 0.2  # at most, from the message of Enter to that of the text


def check_examples(examples: Sequence[str]) -> None:
    """Raises TypeError for one text instead of a list of them, and ValueError for an empty list."""
    if isinstance(examples, str):
        raise TypeError("examples must be a list; for one question write [question].")
    if not examples:
        raise ValueError("Give at least one example question.")


class QuestionBox:
    """The widgets around a question; a subclass says in `take` what is done with it.

    `controls` are, from top to bottom, the text box with its button, the examples as buttons, and
    the status line, whose changes screen readers speak.
    """

    def __init__(self, examples: Sequence[str], button: str) -> None:
        import ipywidgets as widgets

        wide = widgets.Layout(width="auto")
        self.question = widgets.Text(
            placeholder="Your question, then Enter",
            description="Question",
            continuous_update=False,
            layout=widgets.Layout(width="70%"),
        )
        self.button = widgets.Button(description=button, tooltip=f"{button} this question")
        self.examples = [widgets.Button(description=text, layout=wide) for text in examples]
        self.status = widgets.HTML()
        self.question.on_msg(self._key_pressed)
        self.button.on_click(lambda _: self.ask(self.question.value))
        for example in self.examples:
            example.on_click(lambda pressed: self.ask(pressed.description))
        self.controls = [
            widgets.HBox([self.question, self.button]),
            widgets.HBox(self.examples, layout=widgets.Layout(flex_flow="row wrap")),
            self.status,
        ]
        self.say("")

    def take(self, question: str) -> str:
        """Do what is to be done with a question. Returns the sentence that says so afterwards."""
        raise NotImplementedError

    def ask(self, question: str) -> None:
        """Take the question; one that can't be taken stays in the box, and the line says why."""
        if not question.strip():
            self.say("Type a question first.")
            return
        self.say("Reading ...")
        self.button.disabled = True
        try:
            self.say(self.take(question))
        except ValueError as problem:
            self.say(f"Not asked: {problem}")
        except Exception as problem:  # behind a button a traceback goes where nobody sees it
            self.say(f"Not asked: {type(problem).__name__}: {problem}")
        finally:
            self.button.disabled = False

    def say(self, sentence: str) -> None:
        """Put a sentence into the status line."""
        self.status.value = f'<span role="status">{html.escape(sentence) or "&nbsp;"}</span>'

    def _key_pressed(self, widget: object, content: dict, buffers: list) -> None:
        if content.get("event") != "submit":  # Enter
            return
        # The browser tells of Enter first, and right behind it what was typed.
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no kernel, so no browser either
            self.ask(self.question.value)
        else:
            loop.call_later(SECONDS_BEHIND, lambda: self.ask(self.question.value))
