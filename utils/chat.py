"""Talk to a pipeline, and see what each of its stages did.

`chat(pipeline)` shows a text box (Enter asks), a button, a few examples, and under each answer the
trace as a numbered list; an answer grows while the model writes it. Where widgets aren't shown,
the first question, its answer and its trace stand there as plain text.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from utils.display import in_notebook, show_text, show_widget
from utils.question_box import QuestionBox, check_examples
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
    """Show the chat. The first of the `examples` is asked at once, all of them become buttons."""
    check_examples(examples)
    first = pipeline.answer(examples[0])
    fallback = (
        f"{turn_text(first)}\n\n"
        "To ask without the box: print(trace_text(pipeline.answer('your question')))"
    )
    if in_notebook():
        show_widget(Chat(pipeline, examples, first).box, fallback)
    else:
        show_text(fallback)


class Chat(QuestionBox):
    """The widgets of one chat; `box` is the whole, newest turn on top."""

    def __init__(self, pipeline: Pipeline, examples: Sequence[str], first: Answer) -> None:
        import ipywidgets as widgets

        super().__init__(examples, "Ask")
        self.pipeline = pipeline
        self.turns = [turn_html(first)]
        self.log = widgets.HTML()
        self.box = widgets.VBox([*self.controls, self.log])
        self._show_turns()

    def take(self, question: str) -> str:
        """Put the answer on top of the list while it grows, and empty the box."""
        earlier = self.turns[: TURNS_KEPT - 1]
        for answer in self.pipeline.stream(question):
            self.turns = [turn_html(answer), *earlier]
            self._show_turns(growing=True)
        self.question.value = ""
        self._show_turns()
        return "Answered below."

    def _show_turns(self, growing: bool = False) -> None:
        # Busy: a screen reader waits for the whole answer instead of speaking every word.
        live = f'role="log" aria-live="polite" aria-busy="{str(growing).lower()}"'
        self.log.value = f"<div {live}>{''.join(self.turns)}</div>"


def _headline(answer: Answer) -> str:
    if answer.trace and answer.trace[-1].stage == "prompt":
        how = "still writing"
    elif answer.route == RETRIEVAL:
        how = f"from {', '.join(answer.citation) or 'no passage'}"
    else:
        how = answer.route if answer.route == REFUSED else f"by the route {answer.route}"
    return f"Answer: {answer.text} ({how})"
