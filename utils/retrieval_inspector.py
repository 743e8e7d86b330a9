"""Ask retrievers a question, and see what they find and by which words.

`inspect_retrieval(retrievers, examples)` shows a text box (Enter searches), the examples as
buttons, a choice of retriever, and a table of passages for each (`utils.hit_tables`). Where widgets
aren't shown, the first example and what all retrievers find stand there as plain text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from utils.display import in_notebook, show_text, show_widget
from utils.hit_tables import hits_html, hits_text
from utils.question_box import QuestionBox, check_examples

if TYPE_CHECKING:
    from utils.passages import Hit, Retriever

ALL = "all side by side"
LARGEST_K = 50


def inspect_retrieval(
    retrievers: Mapping[str, Retriever], examples: Sequence[str], k: int = 5
) -> None:
    """Show the inspector. The first of the `examples` is searched at once, all become buttons.

    retrievers: name -> what has `search(queries, k)`. k: passages that each hands back, at first.
    Raises ValueError for no retriever, for no example, and for what the search can't take.
    """
    check_examples(examples)
    if not retrievers:
        raise ValueError("Give at least one retriever.")
    found = search_all(retrievers, examples[0], k)
    fallback = (
        f"{hits_text(examples[0], found, k)}\n\n"
        f"To search without the box: retriever.search(['your question'], k={k})"
    )
    if in_notebook():
        show_widget(Inspector(retrievers, examples, k).box, fallback)
    else:
        show_text(fallback)


def search_all(retrievers: Mapping[str, Retriever], question: str, k: int) -> dict[str, list[Hit]]:
    """What each retriever finds for one question."""
    return {name: retriever.search([question], k)[0] for name, retriever in retrievers.items()}


class Inspector(QuestionBox):
    """The widgets of one inspector; `box` is the whole."""

    def __init__(
        self, retrievers: Mapping[str, Retriever], examples: Sequence[str], k: int
    ) -> None:
        import ipywidgets as widgets

        super().__init__(examples, "Search")
        self.retrievers = retrievers
        several = len(retrievers) > 1
        # Buttons, not a list: in JupyterLab arrow keys leave a list that isn't open.
        self.retriever = widgets.RadioButtons(
            options=[ALL, *retrievers] if several else list(retrievers),
            description="Retriever",
            tooltip="Retriever",
        )
        if not several:
            self.retriever.layout.display = "none"
        self.k = widgets.BoundedIntText(
            value=k,
            min=1,
            max=max(k, LARGEST_K),
            description="Passages",
            tooltip="Passages",
            layout=widgets.Layout(width="170px"),
        )
        self.view = widgets.HTML()
        self.box = widgets.VBox([*self.controls, widgets.HBox([self.retriever, self.k]), self.view])
        self.ask(examples[0])
        for choice in (self.retriever, self.k):
            choice.observe(lambda _: self.ask(self.asked), names="value")

    def take(self, question: str) -> str:
        """Search, and show what was found; the question stays in the box, to be changed."""
        name = self.retriever.value
        chosen = self.retrievers if name == ALL else {name: self.retrievers[name]}
        found = search_all(chosen, question, self.k.value)
        self.view.value = hits_html(question, found, self.k.value)
        self.asked = self.question.value = question
        return "Found below."
