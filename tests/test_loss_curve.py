"""The live curve draws what the report holds, anew at each call, and says it in words."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from utils import loss_curve
from utils.loss_curve import LossCurve, describe, draw
from utils.training import TuningReport

REPORT = TuningReport(
    losses=[2.5, 1.5],
    held_out_losses=[2.6, 2.0],
    step_losses=[3.0, 2.0, 2.0, 1.0, 0.5],
    steps_an_epoch=2,
)


def test_it_draws_steps_epochs_and_held_out_examples():
    figure = draw(REPORT, "Loss")
    steps, epochs, held_out = figure.axes[0].lines
    assert steps.get_ydata().tolist() == REPORT.step_losses
    assert (epochs.get_xdata().tolist(), epochs.get_ydata().tolist()) == ([2, 4], [2.5, 1.5])
    assert (held_out.get_xdata().tolist(), held_out.get_ydata().tolist()) == ([2, 4], [2.6, 2.0])
    plt.close(figure)


def test_within_the_first_epoch_there_are_steps_alone():
    report = TuningReport(step_losses=[3.0, 2.0], steps_an_epoch=9)
    figure = draw(report, "Loss")
    assert len(figure.axes[0].lines) == 1
    plt.close(figure)
    assert describe(report) == "A curve over 2 steps: the loss goes from 3.00 to 2.00."


def test_it_says_the_curve_in_words():
    assert describe(REPORT) == (
        "A curve over 5 steps: the loss goes from 3.00 to 0.50; means of the epochs: 2.50, 1.50; "
        "held-out examples: 2.60, 2.00."
    )


def test_outside_a_notebook_it_stays_silent(capsys):
    LossCurve()(REPORT)
    assert capsys.readouterr().out == ""


def test_in_a_notebook_one_picture_is_drawn_anew(monkeypatch):
    shown, updates = [], []

    class Handle:
        def update(self, picture):
            updates.append(picture.data)

    def display(picture, display_id):
        shown.append(picture.data)
        return Handle()

    monkeypatch.setattr(loss_curve, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    curve = LossCurve()
    for losses in ([], [3.0], [3.0, 2.0], [3.0, 2.0, 1.0]):
        curve(TuningReport(step_losses=losses, steps_an_epoch=9))
    assert len(shown) == 1 and "from 3.00 to 3.00" in shown[0]
    assert ["from 3.00 to 2.00" in p for p in updates] == [True, False]
    assert not plt.get_fignums()


@pytest.mark.parametrize("steps", [1, 2])
def test_few_steps_can_be_drawn(steps):
    figure = draw(TuningReport(step_losses=[3.0] * steps, steps_an_epoch=9), "Loss")
    assert figure.axes[0].get_xlim()[1] == 2
    plt.close(figure)
