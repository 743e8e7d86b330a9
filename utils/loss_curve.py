"""Watch the loss fall while a model is tuned: `tune(..., watch=LossCurve())`."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from utils.display import in_notebook

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from utils.training import TuningReport


class LossCurve:
    """A figure that is drawn anew at each call; outside a notebook the progress bar must do.

    title: what stands above it.
    """

    def __init__(self, title: str = "Loss while tuning") -> None:
        self.title, self._handle = title, None

    def __call__(self, report: TuningReport) -> None:
        """Draw what the report holds; `utils.training` calls this every few seconds."""
        if not in_notebook() or not report.step_losses:
            return
        from IPython.display import HTML, display

        from utils.plots import figure_html

        picture = HTML(figure_html(draw(report, self.title), describe(report)))
        if self._handle is None:
            self._handle = display(picture, display_id=True)
        else:
            self._handle.update(picture)
        gc.collect(1)  # a figure's parts point at each other; left alone they pile up


def draw(report: TuningReport, title: str) -> Figure:
    """The loss of every step, the mean of every epoch, and of the held-out examples if any."""
    from utils.plots import BLUE, GREY, VERMILION, new_axes

    figure, ax = new_axes(title, "step", "mean loss (nats per token)", height=2.8)
    ax.plot(
        range(1, report.steps + 1), report.step_losses, color=GREY, linewidth=0.8, label="each step"
    )
    epochs = len(report.losses)
    if epochs:
        ends = [(epoch + 1) * report.steps_an_epoch for epoch in range(epochs)]
        ax.plot(ends, report.losses, "o-", color=BLUE, label="each epoch")
    if report.held_out_losses:
        ax.plot(ends, report.held_out_losses, "s--", color=VERMILION, label="held out")
    ax.set(ylim=(0, None), xlim=(0, max(report.steps, 2)))
    ax.legend(loc="upper right")
    return figure


def describe(report: TuningReport) -> str:
    """The curve in words."""
    text = f"A curve over {report.steps} steps: the loss goes from {report.step_losses[0]:.2f} "
    text += f"to {report.step_losses[-1]:.2f}"
    if report.losses:
        means = ", ".join(f"{loss:.2f}" for loss in report.losses)
        text += f"; means of the epochs: {means}"
    if report.held_out_losses:
        means = ", ".join(f"{loss:.2f}" for loss in report.held_out_losses)
        text += f"; held-out examples: {means}"
    return text + "."
