"""Move a cut's knobs, and see at once which passages come out.

`explore_chunks(texts)` shows a choice of document and of the way of cutting, sliders for size and
overlap, and below them the passages as numbered boxes (`utils.passage_boxes`). Where widgets
aren't shown, one cut stands there as plain text.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from utils.chunking import chunk_by_structure, chunk_sentences, chunk_windows
from utils.display import in_notebook, show_text, show_widget
from utils.passage_boxes import chunks_html, chunks_text, summary
from utils.passages import Passage

if TYPE_CHECKING:
    from ipywidgets import BoundedIntText, HBox

WINDOWS = "windows of words"
SIZE, OVERLAP = 40, 10  # words; about one product's card, and a sentence of it
LABEL = {"description_width": "150px"}
# The passages scroll, so that the knobs stay in sight; the last attribute keeps JupyterLab from
# taking the arrow keys for its own, so they scroll too.
SCROLLED = (
    'style="max-height: 480px; overflow-y: auto; border: solid currentColor; border-width: 1px 0; '
    'padding: 0 8px" role="region" aria-label="Passages" tabindex="0" data-lm-suppress-shortcuts'
)


@dataclass(frozen=True)
class Method:
    """A way of cutting: its function, what its size counts, the slider's end, and where it starts.

    overlap: None where neighbours never share anything.
    """

    cut: Callable[..., list[Passage]]
    unit: str
    largest: int
    size: int
    overlap: int | None

    def arguments(self, size: int, overlap: int) -> dict[str, int]:
        """What the function is given beside the text."""
        return {"longest": size} if self.overlap is None else {"size": size, "overlap": overlap}

    def call(self, text: str, size: int, overlap: int) -> str:
        """The call that cuts like this, to be typed; `text` is a piece of code too."""
        given = [f"{name}={number}" for name, number in self.arguments(size, overlap).items()]
        return f"{self.cut.__name__}({', '.join([text, *given])})"


METHODS = {
    "sentences": Method(chunk_sentences, "sentences", largest=10, size=2, overlap=0),
    WINDOWS: Method(chunk_windows, "words", largest=200, size=SIZE, overlap=OVERLAP),
    "structure": Method(chunk_by_structure, "words", largest=300, size=150, overlap=None),
}


def explore_chunks(
    texts: Mapping[str, str],
    size: int = SIZE,
    overlap: int = OVERLAP,
    must_hold: Mapping[str, str] | None = None,
) -> None:
    """Show how the documents can be cut, first into windows of `size` words.

    texts: name of a document -> its text. overlap: words that neighbours share. must_hold: name of
    a document -> a text that each of its passages should hold, such as a product's name; passages
    that lack it are marked. Raises ValueError for no document, for a name in `must_hold` that no
    document has, for a size below 1 and for an overlap that isn't smaller.
    """
    must_hold = must_hold or {}
    _check(texts, must_hold)
    document = next(iter(texts))
    passages = chunk_windows(texts[document], size, overlap)
    name = must_hold.get(document, "")
    call = METHODS[WINDOWS].call(f"texts[{document!r}]", size, overlap)
    arguments = f"{call}, {name!r}" if name else call
    fallback = (
        f"{document}, cut into {WINDOWS}. {summary(passages, name)}\n\n"
        f"{chunks_text(passages, name)}\n\n"
        f"To see other cuts without the sliders: print(chunks_text({arguments}))"
    )
    if in_notebook():
        show_widget(Explorer(texts, size, overlap, must_hold).box, fallback)
    else:
        show_text(fallback)


class Explorer:
    """The widgets of one explorer; `box` is the whole."""

    def __init__(
        self, texts: Mapping[str, str], size: int, overlap: int, must_hold: Mapping[str, str]
    ) -> None:
        import ipywidgets as widgets

        self.texts, self.must_hold = texts, must_hold
        self.chosen = {name: (way.size, way.overlap or 0) for name, way in METHODS.items()}
        self.chosen[WINDOWS] = (size, overlap)  # each way of cutting keeps its sliders' places
        self.document = widgets.Dropdown(
            options=list(texts),
            description="Document",
            tooltip="Document (the space bar opens the list)",
            layout=widgets.Layout(width="480px"),
        )
        # Buttons, not a list: in JupyterLab arrow keys leave a list that isn't open.
        self.method = widgets.RadioButtons(
            options=list(METHODS), value=WINDOWS, description="Cut by", tooltip="Cut by"
        )
        self.size, size_row = _number(1)
        self.overlap, overlap_row = _number(0)
        self.status, self.view = widgets.HTML(), widgets.HTML()
        if len(texts) == 1:
            self.document.layout.display = "none"
        self._take_places()
        self._show()
        self.method.observe(lambda _: self._take_places(), names="value")
        self.size.observe(lambda _: self._limit_overlap(), names="value")
        for choice in (self.document, self.method, self.size, self.overlap):
            choice.observe(lambda _: self._show(), names="value")
        knobs = widgets.HBox([self.method, widgets.VBox([size_row, overlap_row])])
        knobs.layout.flex_flow = "row wrap"
        self.box = widgets.VBox([self.document, knobs, self.status, self.view])

    def _take_places(self) -> None:
        """Give the sliders the units, ends and places of the way of cutting that is chosen."""
        way = METHODS[self.method.value]
        size, overlap = self.chosen[self.method.value]
        size_name = "Longest" if way.overlap is None else "Size"
        for number, knob in ((self.size, size_name), (self.overlap, "Overlap")):
            number.description = number.tooltip = f"{knob} ({way.unit})"
        self.size.max = max(way.largest, size)
        self.size.value = size
        self._limit_overlap()
        self.overlap.value = overlap

    def _limit_overlap(self) -> None:
        """Keep the overlap below the size; a slider without a choice is disabled."""
        without = METHODS[self.method.value].overlap is None or self.size.value == 1
        self.overlap.max = max(1, self.size.value - 1)  # a slider needs two places
        self.overlap.value = 0 if without else self.overlap.value
        self.overlap.disabled = without

    def _show(self) -> None:
        method, size = self.method.value, self.size.value
        overlap = min(self.overlap.value, size - 1)  # between two sliders' changes it may be more
        self.chosen[method] = (size, overlap)
        way, document = METHODS[method], self.document.value
        name = self.must_hold.get(document, "")
        arguments = way.arguments(size, overlap)
        passages = way.cut(self.texts[document], document=document, **arguments)
        self.status.value = (
            f'<div style="line-height: 1.5"><div role="status">'
            f"{html.escape(summary(passages, name))}</div>"
            f"<div>In code: <code>{html.escape(way.call('text', size, overlap))}</code></div></div>"
        )
        self.view.value = f"<div {SCROLLED}>{chunks_html(passages, name)}</div>"


def _number(least: int) -> tuple[BoundedIntText, HBox]:
    """A box for a whole number, and the row in which it stands beside a slider for the same."""
    import ipywidgets as widgets

    box = widgets.BoundedIntText(min=least, style=LABEL, layout=widgets.Layout(width="230px"))
    slider = widgets.IntSlider(min=least, readout=False, layout=widgets.Layout(width="250px"))
    for trait in ("max", "value", "disabled"):
        widgets.link((box, trait), (slider, trait))
    return box, widgets.HBox([box, slider])


def _check(texts: Mapping[str, str], must_hold: Mapping[str, str]) -> None:
    if not isinstance(texts, Mapping):
        raise TypeError('texts must map names to texts; for one text write {"name": text}.')
    if not texts:
        raise ValueError("Give at least one document.")
    if unknown := set(must_hold) - set(texts):
        raise ValueError(f"must_hold names documents that are not in texts: {sorted(unknown)}.")
