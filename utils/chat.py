"""Talk to a pipeline, and see what each of its stages did.

`chat(pipeline)` shows a text box (Enter asks), a button, a few examples, and under each answer the
trace as a numbered list. Where widgets aren't shown, the first question, its answer and its trace
stand there as plain text.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from utils.display import in_notebook, show_text
from utils.rag import REFUSED, RETRIEVAL, Answer, trace_text

if TYPE_CHECKING:
    from utils.rag import Pipeline

TURNS_KEPT = 6


def turn_text(answer: Answer) -> str:
    """One question, its answer, and the trace, as plain text."""
    return f"You: {answer.question}\n{_headline(answer)}\n{trace_text(answer)}"


def turn_html(answer: Answer) -> str:
    """The same as HTML, a heading and a numbered list: readable without colour and by ear."""
    stages = "".join(
        f"<li><strong>{step.stage}</strong>: {html.escape(step.note)}</li>" for step in answer.trace
    )
    frame = "border-left: 3px solid currentColor; padding: 2px 12px; margin: 8px 0;"
    return (
        f'<div style="{frame} line-height: 1.5"><div>You: {html.escape(answer.question)}</div>'
        f"<div><strong>{html.escape(_headline(answer))}</strong></div>"
        f'<ol style="margin: 4px 0; padding-left: 24px">{stages}</ol></div>'
    )


def chat(pipeline: Pipeline, examples: Sequence[str]) -> None:
    """Show the chat. The first of the `examples` is asked at once, the others become buttons."""
    if not examples:
        raise ValueError("Give at least one example question.")
    first = pipeline.answer(examples[0])
    fallback = (
        f"{turn_text(first)}\n\n"
        "To ask without the box: print(trace_text(pipeline.answer('your question')))"
    )
    if not in_notebook():
        show_text(fallback)
        return
    bundle = Chat(pipeline, examples, first).box._repr_mimebundle_()
    show_text(fallback, {kind: data for kind, data in bundle.items() if kind != "text/plain"})


class Chat:
    """The widgets of one chat; `box` is the whole, newest turn on top."""

    def __init__(self, pipeline: Pipeline, examples: Sequence[str], first: Answer) -> None:
        import ipywidgets as widgets

        self.pipeline = pipeline
        self.turns = [turn_html(first)]
        wide = widgets.Layout(width="auto")
        self.question = widgets.Text(
            placeholder="Your question, then Enter",
            description="Question",
            layout=widgets.Layout(width="70%"),
        )
        self.button = widgets.Button(description="Ask", tooltip="Ask this question")
        self.examples = [widgets.Button(description=text, layout=wide) for text in examples]
        self.status = widgets.HTML()
        self.log = widgets.HTML()
        self.question.on_msg(self._key_pressed)
        self.button.on_click(lambda _: self.ask(self.question.value))
        for button in self.examples:
            button.on_click(lambda pressed: self.ask(pressed.description))
        self.box = widgets.VBox(
            [
                widgets.HBox([self.question, self.button]),
                widgets.HBox(self.examples, layout=widgets.Layout(flex_flow="row wrap")),
                self.status,
                self.log,
            ]
        )
        self._say("")
        self._show_turns()

    def ask(self, question: str) -> None:
        """Put the answer on top of the list; a question that can't be taken stays in the box."""
        if not question.strip():
            self._say("Type a question first.")
            return
        self._say("Reading ...")
        self.button.disabled = True
        try:
            answer = self.pipeline.answer(question)
        except ValueError as problem:
            self._say(f"Not asked: {problem}")
            return
        finally:
            self.button.disabled = False
        self.turns = [turn_html(answer), *self.turns][:TURNS_KEPT]
        self.question.value = ""
        self._show_turns()
        self._say("Answered below.")

    def _key_pressed(self, widget: object, content: dict, buffers: list) -> None:
        if content.get("event") == "submit":  # Enter
            self.ask(self.question.value)

    def _show_turns(self) -> None:
        self.log.value = f'<div role="log" aria-live="polite">{"".join(self.turns)}</div>'

    def _say(self, sentence: str) -> None:
        self.status.value = f'<span role="status">{html.escape(sentence) or "&nbsp;"}</span>'


def _headline(answer: Answer) -> str:
    if answer.route == RETRIEVAL:
        how = f"from {', '.join(answer.citation) or 'no passage'}"
    else:
        how = answer.route if answer.route == REFUSED else f"by the route {answer.route}"
    return f"Answer: {answer.text} ({how})"
