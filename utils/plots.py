"""Figures that can be read: intervals drawn, axes named with their units, and words for the image.

Colours are the eight of Okabe & Ito (2008), which people with any common form of colour blindness
can tell apart. Colour is never the only sign: bars carry labels and curves carry markers.

Every figure is shown through `show(figure, alt=...)`, which puts the alternative text where a
screen reader finds it.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from utils.stats import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
YELLOW = "#F0E442"
BLACK = "#000000"
GREY = "#6E6E6E"
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK, YELLOW)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

SCREEN_PIXELS_PER_INCH = 100
IMAGE_PIXELS_PER_INCH = 200  # twice the screen's, so that text stays sharp on fine displays


def set_style() -> None:
    """Set fonts, colours and lines for all figures of this session."""
    plt.rcParams.update(
        {
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.labelsize": 11,
            "axes.prop_cycle": plt.cycler(color=PALETTE),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 13,
            "figure.facecolor": "white",
            "figure.figsize": (7.0, 4.0),
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "grid.color": "#DDDDDD",
            "grid.linewidth": 0.8,
            "legend.fontsize": 10,
            "legend.frameon": False,
            "lines.linewidth": 2,
            "lines.markersize": 6,
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
        }
    )


def new_axes(
    title: str, xlabel: str, ylabel: str, width: float = 7.0, height: float = 4.0
) -> tuple[Figure, Axes]:
    """A figure with one pair of named axes; sizes in inches.

    Write units into the labels: ``"time per question (ms)"``.
    """
    set_style()
    figure, ax = plt.subplots(figsize=(width, height))
    label_axes(ax, title, xlabel, ylabel)
    return figure, ax


def label_axes(ax: Axes, title: str, xlabel: str, ylabel: str) -> None:
    """Name a pair of axes. Raises ValueError when one of the three texts is empty."""
    for name, text in (("title", title), ("xlabel", xlabel), ("ylabel", ylabel)):
        if not text.strip():
            raise ValueError(f"Give the figure's {name}: a reader must know what is drawn.")
    ax.set_title(title)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)


def interval_bars(
    labels: Sequence[str],
    intervals: Sequence[Interval],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    unit: str = "%",
    digits: int = 0,
    colours: Sequence[str] | str = SKY,
    ax: Axes | None = None,
) -> Figure:
    """One horizontal bar per label, first on top, each with its interval and its number.

    With ``unit="%"`` shares (0 to 1) are drawn as percentages and the axis spans 0 to 100.
    ``digits``: decimals of the number written beside each bar. Returns the figure.
    """
    if len(labels) != len(intervals):
        raise ValueError(f"{len(labels)} labels but {len(intervals)} intervals.")
    if not labels:
        raise ValueError("There is nothing to draw: no labels were given.")
    if ax is None:
        figure, ax = new_axes(title, xlabel, ylabel, height=1.4 + 0.45 * len(labels))
    else:
        figure = ax.figure
        label_axes(ax, title, xlabel, ylabel)
    estimates, below, above = _scaled(intervals, unit)
    places = np.arange(len(labels))
    ax.barh(
        places,
        estimates,
        xerr=[below, above],
        height=0.6,
        color=colours,
        error_kw={"ecolor": BLACK, "elinewidth": 1.5, "capsize": 4},
    )
    if unit == "%" and min(estimates - below) >= 0:
        ax.set_xlim(0, 100)
    for place, estimate, end in zip(places, estimates, estimates + above, strict=True):
        ax.annotate(
            f"{estimate:.{digits}f}{' ' + unit if unit else ''}",
            (end, place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
        )
    ax.set_yticks(places, labels)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    return figure


def interval_curve(
    x: Sequence[float],
    intervals: Sequence[Interval],
    label: str,
    *,
    ax: Axes,
    unit: str = "%",
    number: int = 0,
) -> None:
    """Add one curve with its band of uncertainty to ``ax``.

    ``number`` (0, 1, 2, ...) picks colour and marker, so that curves differ in both. With
    ``unit="%"`` shares (0 to 1) are drawn as percentages.
    """
    if len(x) != len(intervals):
        raise ValueError(f"{len(x)} places on the axis but {len(intervals)} intervals.")
    estimates, below, above = _scaled(intervals, unit)
    colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
    ax.plot(x, estimates, color=colour, marker=marker, label=label)
    ax.fill_between(x, estimates - below, estimates + above, color=colour, alpha=0.2, linewidth=0)


def interval_points(
    x_intervals: Sequence[Interval],
    y_intervals: Sequence[Interval],
    label: str,
    *,
    ax: Axes,
    x_unit: str,
    y_unit: str = "%",
    number: int = 0,
    notes: Sequence[object] = (),
) -> None:
    """Add points that are uncertain in both directions to ``ax``, joined by a line.

    ``number`` picks colour and marker as in `interval_curve`; shares whose unit is "%" are drawn
    as percentages. ``notes``: what is written beside each point, if anything.
    """
    if len(x_intervals) != len(y_intervals):
        raise ValueError(f"{len(x_intervals)} x values but {len(y_intervals)} y values.")
    if notes and len(notes) != len(x_intervals):
        raise ValueError(f"{len(x_intervals)} points but {len(notes)} notes.")
    x, left, right = _scaled(x_intervals, x_unit)
    y, below, above = _scaled(y_intervals, y_unit)
    colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
    bars = {"xerr": [left, right], "yerr": [below, above], "capsize": 3, "elinewidth": 1.2}
    ax.errorbar(x, y, **bars, color=colour, marker=marker, label=label)
    for note, *place in zip(notes, x, y, strict=bool(notes)):
        ax.annotate(str(note), place, xytext=(6, -12), textcoords="offset points", fontsize=9)


def matrix(
    values: np.ndarray,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    value_label: str,
    digits: int = 2,
    limits: tuple[float, float] | None = None,
    frame_row_maximum: bool = False,
) -> Figure:
    """A table of numbers as shades, each number written in its cell (rows, columns).

    ``value_label`` names the numbers and their unit; ``limits`` are the values that are drawn
    lightest and darkest; ``frame_row_maximum`` frames the largest number of each row.
    """
    values = np.asarray(values, dtype=float)
    if values.shape != (len(row_labels), len(column_labels)):
        raise ValueError(
            f"The table is {values.shape}, the labels are {(len(row_labels), len(column_labels))}."
        )
    low, high = limits if limits is not None else (values.min(), values.max())
    width = 2.2 + 0.08 * max(map(len, row_labels)) + 0.9 * len(column_labels)
    height = 1.8 + 0.45 * len(row_labels)
    figure, ax = new_axes(title, xlabel, ylabel, width, height)
    image = ax.imshow(values, cmap="cividis_r", vmin=low, vmax=high, aspect="auto")
    middle = (low + high) / 2
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value > middle else "black"
        text = f"{value:.{digits}f}"
        ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=10)
    if frame_row_maximum:
        for row, column in enumerate(values.argmax(axis=1)):
            corner = (column - 0.47, row - 0.46)
            ax.add_patch(plt.Rectangle(corner, 0.94, 0.92, fill=False, edgecolor=VERMILION, lw=3))
    ax.set_xticks(range(len(column_labels)), column_labels, rotation=30, ha="right")
    ax.set_yticks(range(len(row_labels)), row_labels)
    ax.grid(visible=False)
    figure.colorbar(image, ax=ax, label=value_label)
    return figure


def show(figure: Figure, alt: str) -> None:
    """Show the figure with ``alt``, its description in words, and close it.

    In a notebook the figure becomes an HTML image whose ``alt`` attribute holds the text (front
    ends ignore the ``alt`` of a plain PNG output). Where there is no notebook the text is printed.
    Say in ``alt`` what a person sees: kind of figure, axes, and what stands out.

    Raises ValueError for an empty ``alt``, or axes without a title, label or unit to read.
    """
    if not _in_notebook():
        try:
            _check(figure, alt)
            print(f"[figure] {alt}")
        finally:
            plt.close(figure)
        return
    from IPython.display import display

    bundle = {"text/html": figure_html(figure, alt), "text/plain": f"[figure] {alt}"}
    display(bundle, raw=True)


def figure_html(figure: Figure, alt: str) -> str:
    """The figure as an HTML image with its words, closed. Raises ValueError as `show` does."""
    try:
        _check(figure, alt)
        encoded = base64.b64encode(figure_png(figure)).decode("ascii")
    finally:
        plt.close(figure)
    return (
        f'<img src="data:image/png;base64,{encoded}" '
        f'width="{round(figure.get_figwidth() * SCREEN_PIXELS_PER_INCH)}" '
        f'alt="{html.escape(alt, quote=True)}">'
    )


def figure_png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG image."""
    buffer = io.BytesIO()
    # No software version or date inside: the same figure gives the same bytes.
    figure.savefig(buffer, format="png", dpi=IMAGE_PIXELS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def _scaled(intervals: Sequence[Interval], unit: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimates, and how far each interval reaches below and above, in the axis's unit."""
    scale = 100 if unit == "%" else 1
    table = scale * np.array([[i.estimate, i.low, i.high] for i in intervals], dtype=float)
    estimates, low, high = table.T
    # A percentile interval may lie beside its estimate by a hair; bars need lengths >= 0.
    return estimates, np.maximum(estimates - low, 0), np.maximum(high - estimates, 0)


def _check(figure: Figure, alt: str) -> None:
    """Raise ValueError for a figure that some reader could not read."""
    if not alt.strip():
        raise ValueError("Give alt=...: what the figure shows, for those who cannot see it.")
    _check_labels(figure)


def _check_labels(figure: Figure) -> None:
    """Raise ValueError when a pair of axes lacks its title or a label."""
    overall = figure.get_suptitle()
    for ax in figure.axes:
        if ax.get_label() == "<colorbar>" or not ax.axison:
            continue
        texts = {
            "title": ax.get_title(loc="left") or ax.get_title() or overall,
            "xlabel": ax.get_xlabel() or figure.get_supxlabel(),
            "ylabel": ax.get_ylabel() or figure.get_supylabel(),
        }
        missing = [name for name, text in texts.items() if not text.strip()]
        if missing:
            raise ValueError(f"The figure has axes without {' and '.join(missing)}.")


def _in_notebook() -> bool:
    """Whether an IPython session is there to take the figure."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return get_ipython() is not None
