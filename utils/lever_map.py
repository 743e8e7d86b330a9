"""The map of all levers: what an engineer can change when a model's answers are bad."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from utils.plots import BLACK, BLUE, GREY, ORANGE, set_style

OUTSIDE, INSIDE = "outside", "inside"
COLOURS = {OUTSIDE: BLUE, INSIDE: ORANGE}
HEADINGS = {
    OUTSIDE: "OUTSIDE: what surrounds the model",
    INSIDE: "INSIDE: the model itself",
}


@dataclass(frozen=True)
class Lever:
    """One thing to change: on which side, its name, what changes, what it takes, and where in the
    course it is moved."""

    side: str
    name: str
    change: str
    takes: str
    lessons: str


# Each side from the lever that is moved quickest to the slowest.
LEVERS = (
    Lever(OUTSIDE, "prompt", "the words around the question", "takes minutes", "lesson 01"),
    Lever(OUTSIDE, "rules", "“if they ask for a price,\nlook it up”", "takes hours", "lesson 03"),
    Lever(
        OUTSIDE,
        "retrieval",
        "passages found for each\nquestion, put into the prompt",
        "takes a store of documents",
        "lessons 02 to 04",
    ),
    Lever(
        INSIDE,
        "weights",
        "what training wrote down:\nfine-tuning, with or without LoRA",
        "takes examples and computing",
        "lessons 05 to 07",
    ),
    Lever(
        INSIDE,
        "features",
        "what the model is given to see:\nits vocabulary, its inputs",
        "takes training anew, in part",
        "not in this course",
    ),
    Lever(
        INSIDE,
        "architecture",
        "layers, attention, size",
        "takes training anew, from nothing",
        "not in this course",
    ),
)

ALT = (
    "A map in two columns. On the left, outside the model, from quick to slow: prompt, rules, "
    "retrieval. On the right, inside the model, from quick to slow: weights, features, "
    "architecture. Each box says what is changed, what it takes, and which lessons move it. "
    "An arrow at the left points down: slower to try, harder to undo. Below, an arrow goes from "
    "the question through the prompt, outside, and the model, inside, to the answer."
)


def draw_lever_map(levers: tuple[Lever, ...] = LEVERS) -> Figure:
    """Draw the levers as boxes, one column for each side; `ALT` describes the picture in words."""
    set_style()
    figure, ax = plt.subplots(figsize=(9.0, 6.4))
    ax.set(xlim=(0, 9), ylim=(0, 6.4))
    ax.set_axis_off()
    ax.set_title("Six levers for better answers: three outside the model, three inside")
    for side, left in ((OUTSIDE, 0.75), (INSIDE, 4.95)):
        _frame(ax, left, 0.95, 3.9, 5.35, COLOURS[side])
        ax.text(left + 1.95, 5.93, HEADINGS[side], ha="center", va="center", weight="bold")
        for row, lever in enumerate(lever for lever in levers if lever.side == side):
            _lever(ax, lever, left + 0.15, 4.15 - 1.52 * row)
    ax.annotate("", (0.35, 1.0), (0.35, 6.2), arrowprops={"arrowstyle": "-|>", "color": GREY})
    ax.text(
        *(0.22, 3.6, "slower to try, harder to undo"),
        rotation=90,
        ha="right",
        va="center",
        color=GREY,
    )
    _flow(ax)
    return figure


def _frame(ax: Axes, x: float, y: float, width: float, height: float, colour: str) -> None:
    box = FancyBboxPatch(
        (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.12", linewidth=2
    )
    box.set(facecolor=colour + "18", edgecolor=colour)  # 18: a tenth of full colour
    ax.add_patch(box)


def _lever(ax: Axes, lever: Lever, x: float, y: float) -> None:
    box = FancyBboxPatch((x, y), 3.6, 1.4, boxstyle="round,pad=0,rounding_size=0.08")
    box.set(facecolor="white", edgecolor=COLOURS[lever.side])
    ax.add_patch(box)
    ax.text(x + 0.15, y + 1.15, lever.name, weight="bold", va="center", fontsize=12)
    ax.text(x + 3.45, y + 1.15, lever.lessons, va="center", ha="right", fontsize=9, color=GREY)
    ax.text(x + 0.15, y + 0.66, lever.change, va="center", fontsize=10, linespacing=1.15)
    ax.text(x + 0.15, y + 0.2, lever.takes, va="center", fontsize=9, style="italic")


def _flow(ax: Axes) -> None:
    """The way of a question, under the two columns that it passes through."""
    arrow = {"arrowstyle": "-|>", "color": BLACK, "linewidth": 1.5}
    stops = (
        (0.75, "question"),
        (2.7, "prompt with all it holds"),
        (6.9, "model"),
        (8.85, "answer"),
    )
    for (start, _), (end, _) in zip(stops, stops[1:], strict=False):
        ax.annotate("", (end, 0.62), (start, 0.62), arrowprops=arrow)
    for place, name in stops:
        align = {0.75: "left", 8.85: "right"}.get(place, "center")
        ax.text(place, 0.32, name, ha=align, va="center", fontsize=10)
