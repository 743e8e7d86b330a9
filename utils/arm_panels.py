"""The figure of lesson 07: the arms of one comparison in several panels, one for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from utils.plots import BLUE, GREY, ORANGE, set_style
from utils.stats import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# How a way of asking is drawn: colour, marker, and how far from its arm's line.
LOOK = {"closed book": (BLUE, "o", -0.14), "retrieval": (ORANGE, "s", 0.14)}


def arm_panels(
    panels: Mapping[str, Mapping[tuple[str, str], Interval]],
    arms: Sequence[str],
    *,
    title: str,
    xlabel: str,
    chance: float,
    absent: str,
) -> Figure:
    """Draw, in each panel, every arm asked in both ways, with intervals; shares become percentages.

    panels: title -> (arm, way) -> interval, where the way is a key of LOOK. arms: the lines, from
    the top. chance: the share (0 to 1) that guessing gets, a dashed line. absent: what to write
    where a panel lacks an arm. Two panels stand side by side.
    """
    set_style()
    rows = -(-len(panels) // 2)
    figure, axes = plt.subplots(
        rows, 2, figsize=(9, 0.8 + 2.5 * rows), sharex=True, sharey=True, squeeze=False
    )
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (name, cells) in zip(axes.flat, panels.items(), strict=False):
        for way, (colour, marker, shift) in LOOK.items():
            for place, arm in enumerate(arms):
                if (arm, way) in cells:
                    _draw(ax, cells[arm, way], place + shift, marker, colour)
            ax.plot([], [], marker, color=colour, label=way)
        for place, arm in enumerate(arms):
            if not any((arm, way) in cells for way in LOOK):
                ax.text(50, place, absent, color=GREY, ha="center", va="center")
        ax.axvline(100 * chance, color=GREY, linestyle="--", linewidth=1.2, label="chance")
        ax.set_title(name)
        ax.set_xlim(0, 100)
        ax.set_yticks(range(len(arms)), [arm.replace(" (", "\n(") for arm in arms])
        ax.set_ylim(len(arms) - 0.5, -0.5)
        ax.grid(visible=False, axis="y")
    figure.get_layout_engine().set(wspace=0.08, hspace=0.06)
    figure.suptitle(title, x=0.01, ha="left", fontsize=14)
    figure.supxlabel(xlabel, fontsize=11)
    figure.supylabel("arm", fontsize=11)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return figure


def _draw(ax, interval: Interval, height: float, marker: str, colour: str) -> None:
    middle, low, high = (100 * x for x in (interval.estimate, interval.low, interval.high))
    reach = [[max(middle - low, 0)], [max(high - middle, 0)]]
    ax.errorbar(middle, height, xerr=reach, fmt=marker, color=colour, capsize=3, clip_on=False)
