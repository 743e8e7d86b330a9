"""Showing words in a notebook, with the same words as plain text where there is none."""

from __future__ import annotations

import html
import re
import sys


def in_notebook() -> bool:
    """Whether IPython runs here, so that rich output can be shown."""
    ipython = sys.modules.get("IPython")
    return bool(ipython and ipython.get_ipython())


def show_text(text: str, rich: dict[str, object] | None = None) -> None:
    """Show `text`; in a notebook its `rich` forms (MIME type -> content) are shown instead."""
    if not in_notebook():
        print(text)
        return
    from IPython.display import display

    display({"text/plain": text, **(rich or {})}, raw=True)


def show_widget(widget: object, text: str) -> None:
    """Show an ipywidgets widget; `text` stands in its place where widgets aren't shown."""
    bundle = widget._repr_mimebundle_()
    show_text(text, {kind: data for kind, data in bundle.items() if kind != "text/plain"})


def show_message(text: str, good: bool) -> None:
    """A message with a line at its side: whole for good, dashed for not yet; no colour is needed.

    The words before the first colon, the verdict, are shown in bold.
    """
    frame = "3px solid" if good else "3px dashed"
    box = f'<div role="status" style="border-left: {frame} currentColor; padding: 4px 12px">'
    verdict, colon, rest = text.partition(":")
    words = f"<strong>{_as_html(verdict)}</strong>{colon}{_as_html(rest)}"
    show_text(text, {"text/html": f"{box}{words}</div>"})


def say(text: str) -> None:
    """Show a sentence in Markdown, for prose that holds numbers which the cell computed."""
    show_text(text, {"text/markdown": text})


def _as_html(text: str) -> str:
    """Escape `text`; keep line breaks; `so` becomes code."""
    escaped = html.escape(text, quote=False)
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped).replace("\n", "<br>")
