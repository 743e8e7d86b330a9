"""The loop: rate, early stopping, checkpoints, Ctrl-C, and trainings that go wrong.

Most tests train a single number, whose course can be worked out by hand.
"""

from __future__ import annotations

import math
import random
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.tiny import EXAMPLES, Letters, adapter_weights, tiny_model
from utils import training
from utils.lora import LoraSettings, tune
from utils.training import (
    FINISHED,
    INTERRUPTED,
    STOPPED_EARLY,
    Task,
    TrainingError,
    TrainingSettings,
    train,
    warmup_then_decay,
)

SETTINGS = TrainingSettings(epochs=3, batch_size=2, learning_rate=0.05)
LORA = LoraSettings(
    rank=4, alpha=8, upper_layers=2, epochs=3, batch_size=2, seed=1, curriculum=(0.5,)
)


def one_number(loss, count: int = 5, held_out=(), patience: int = 0) -> Task:
    """A model of one number x, trained on `count` examples; loss(x, indices) says how well."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    weights = [model.weight]
    return Task(
        model,
        weights,
        lambda indices: loss(model.weight.sum(), indices),
        [3] * count,
        held_out,
        patience,
    )


def towards(goal: float):
    return lambda x, indices: (x - goal) ** 2


# -- the course --------------------------------------------------------------------------------


def test_the_learning_rate_rises_then_falls_to_zero():
    shares = [round(warmup_then_decay(0.4, 10, step), 3) for step in range(11)]
    assert shares == [0.25, 0.5, 0.75, 1, 1, 0.833, 0.667, 0.5, 0.333, 0.167, 0]


def test_it_reports_what_it_did():
    task = one_number(towards(2.0))
    report = train(task, SETTINGS, progress=False)
    assert report.ended == FINISHED
    assert report.steps == 3 * 3
    assert report.tokens == 3 * 5 * 3
    assert report.parameters == 1
    assert report.seconds > 0
    assert report.losses == [sum(report.step_losses[i : i + 3]) / 3 for i in (0, 3, 6)]
    assert report.losses[2] < report.losses[0]
    assert not task.model.training
    summary = report.summary()
    assert summary["steps"] == 9 and "step_losses" not in summary


def test_gradients_are_clipped_together():
    steep = one_number(lambda x, indices: 1e6 * x)
    norms = []
    steep.weights[0].register_hook(lambda gradient: norms.append(gradient.norm().item()))

    settings = replace(SETTINGS, epochs=1, batch_size=5, warmup_share=0.0, clip_norm=0.5)
    settings = replace(settings, learning_rate=0.1)
    train(replace(steep, optimizer=torch.optim.SGD), settings, progress=False)
    assert norms == [1e6]
    assert steep.weights[0].item() == pytest.approx(1 - 0.1 * 0.5)


def test_a_batch_in_parts_takes_the_step_of_the_whole_batch():
    """Three examples, a mean over their labels: whole, or in parts of one or two examples."""
    labels, slopes = [1, 3, 4], [1.0, 2.0, 10.0]
    seen = []

    def loss(x, indices):
        seen.append(len(indices))
        weighted = sum(labels[index] * slopes[index] for index in indices)
        return x * weighted / sum(labels[index] for index in indices)

    settings = replace(SETTINGS, epochs=1, batch_size=3, clip_norm=1e9, warmup_share=0.0)
    for most_tokens, parts in ((9, [3]), (6, [2, 1]), (1, [1, 1, 1])):
        task = replace(one_number(loss, count=3), labels=labels, most_tokens=most_tokens)
        seen.clear()
        report = train(replace(task, optimizer=torch.optim.SGD), settings, progress=False)
        assert seen == parts
        assert report.step_losses == [pytest.approx(47 / 8)]
        assert task.weights[0].item() == pytest.approx(1 - settings.learning_rate * 47 / 8)


def test_each_group_of_weights_has_its_own_highest_rate():
    """x falls by its rate in each step, and every step takes the schedule's share of it."""
    model = nn.ParameterList([nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))])
    task = Task(model, list(model), lambda indices: sum(model), [3] * 4)

    def two_rates(weights, rate: float):
        groups = [{"params": [weights[0]]}, {"params": [weights[1]], "lr": 10 * rate}]
        return torch.optim.SGD(groups, lr=rate)

    settings = TrainingSettings(epochs=2, batch_size=2, learning_rate=0.1, clip_norm=1e9)
    train(replace(task, optimizer=two_rates), settings, progress=False)
    shares = sum(warmup_then_decay(settings.warmup_share, 4, step) for step in range(4))
    assert model[0].item() == pytest.approx(-0.1 * shares)
    assert model[1].item() == pytest.approx(-1.0 * shares)


def test_it_is_watched_and_each_epoch_is_announced(monkeypatch):
    monkeypatch.setattr(training, "SECONDS_BETWEEN_LOOKS", 0.0)
    steps, epochs = [], []
    train(
        one_number(towards(2.0)),
        SETTINGS,
        after_epoch=epochs.append,
        watch=lambda report: steps.append(report.steps),
        progress=False,
    )
    assert epochs == [1, 2, 3]
    assert steps == [*range(1, 10), 9]


# -- early stopping ----------------------------------------------------------------------------


def overfitting(x, indices):
    """Trained examples pull x to 3; held-out ones (index 5) like it best at 1.2."""
    return (x - 1.2) ** 2 if 5 in indices else (x - 3.0) ** 2


def test_it_stops_when_the_held_out_loss_no_longer_falls_and_keeps_the_best():
    task = one_number(overfitting, held_out=[5], patience=2)
    report = train(task, replace(SETTINGS, epochs=30), progress=False)
    assert report.ended == STOPPED_EARLY
    assert len(report.losses) == len(report.held_out_losses) == report.best_epoch + 2 < 30
    kept = (task.weights[0].item() - 1.2) ** 2
    assert kept == pytest.approx(min(report.held_out_losses), abs=1e-6)


def test_without_patience_it_goes_on_and_still_keeps_the_best():
    task = one_number(overfitting, held_out=[5])
    report = train(task, replace(SETTINGS, epochs=8), progress=False)
    assert report.ended == FINISHED and len(report.held_out_losses) == 8 > report.best_epoch
    kept = (task.weights[0].item() - 1.2) ** 2
    assert kept == pytest.approx(min(report.held_out_losses), abs=1e-6)


def test_without_held_out_examples_the_last_epoch_is_kept():
    report = train(one_number(towards(2.0), patience=1), SETTINGS, progress=False)
    assert report.ended == FINISHED and report.best_epoch == 3


# -- what goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_it_before_the_weights_are_spoilt(bad):
    calls = []

    def loss(x, indices):
        calls.append(x.item())
        return (x - 2) ** 2 if len(calls) < 4 else x * bad

    task = one_number(loss)
    with pytest.raises(TrainingError, match=r"no longer a number.*0\.05 is too high.*a third"):
        train(task, SETTINGS, progress=False)
    assert task.weights[0].item() == calls[-1]
    assert not task.model.training


@pytest.mark.parametrize("name", ["epochs", "batch_size", "learning_rate", "clip_norm"])
def test_settings_that_cannot_be_are_said(name):
    for bad in (0, -1, math.nan):
        with pytest.raises(ValueError, match=f"{name} must be more than 0, not"):
            replace(SETTINGS, **{name: bad})


def test_a_loss_that_rises_is_said_soon():
    def loss(x, indices):  # falls for 25 steps, then rises by half a nat a step
        loss.step += 1
        return x * 0 + (3.0 if loss.step < 25 else 3.0 + 0.5 * (loss.step - 25))

    loss.step = 0
    with pytest.raises(TrainingError, match=r"The loss rises: 5\.\d nats .* it was 3\.0"):
        train(one_number(loss), replace(SETTINGS, epochs=100), progress=False)
    assert loss.step < 35


def test_a_loss_that_jumps_up_and_down_is_not_taken_for_one_that_rises():
    values = [0.0, 6.0] * 300
    task = one_number(lambda x, indices: x * 0 + values.pop())
    assert train(task, replace(SETTINGS, epochs=100), progress=False).steps == 300


def test_a_curriculum_begins_with_the_first_examples_in_epochs_as_long_as_all():
    met = []

    def loss(x, indices):
        met.extend(indices)
        return (x - 2) ** 2

    settings = replace(SETTINGS, curriculum=(0.4, 0.01))
    train(one_number(loss), settings, progress=False)
    first, second, third = (sorted(met[i : i + 5]) for i in (0, 5, 10))
    assert first in ([0, 0, 0, 1, 1], [0, 0, 1, 1, 1])
    assert (second, third) == ([0] * 5, [0, 1, 2, 3, 4])


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, math.nan])
def test_a_curriculum_of_no_or_of_too_many_examples_is_refused(share):
    with pytest.raises(ValueError, match="curriculum holds shares from 0 to 1, not"):
        replace(SETTINGS, curriculum=(0.5, share))


@pytest.mark.parametrize("curriculum", [(), (0.1,)])
def test_new_examples_may_have_a_higher_loss_than_those_before(curriculum):
    """The same rise within examples that were all there before is taken for a rate too high."""
    values = [4.0] * 40 + [0.1] * 20  # taken from the end: an epoch has twenty steps
    task = one_number(lambda x, indices: x * 0 + values.pop(), count=40)
    settings = replace(SETTINGS, curriculum=curriculum)
    if curriculum:
        assert train(task, settings, progress=False).steps == 60
    else:
        with pytest.raises(TrainingError, match="The loss rises"):
            train(task, settings, progress=False)


# -- Ctrl-C ------------------------------------------------------------------------------------


def test_ctrl_c_leaves_what_was_learnt(capsys):
    def loss(x, indices):
        loss.step += 1
        if loss.step == 6:
            raise KeyboardInterrupt
        return (x - 2) ** 2

    loss.step = 0
    task = one_number(loss)
    report = train(task, SETTINGS, progress=False)
    assert report.ended == INTERRUPTED and report.steps == 5
    assert 1 < task.weights[0].item() < 2
    assert not task.model.training
    assert "Stopped after 5 steps" in capsys.readouterr().out


def test_an_interrupted_run_goes_on_from_its_checkpoint(tmp_path):
    whole = one_number(towards(2.0))
    train(whole, SETTINGS, progress=False)

    def interrupted(x, indices):
        interrupted.step += 1
        if interrupted.step == 6:
            raise KeyboardInterrupt
        return (x - 2) ** 2

    interrupted.step = 0
    checkpoint = training.Checkpoint(tmp_path / "run", "this one")
    first = train(one_number(interrupted), SETTINGS, checkpoint, progress=False)
    again = one_number(towards(2.0))
    report = train(again, SETTINGS, checkpoint, progress=False)
    assert (first.steps, report.steps, report.ended) == (5, 9, FINISHED)
    assert again.weights[0].item() == whole.weights[0].item()


# -- a killed run ------------------------------------------------------------------------------

KILLED = """
    import os, signal, sys
    sys.path.insert(0, {root!r})
    from tests.test_training import LORA
    from tests.tiny import EXAMPLES, Letters, tiny_model
    from utils import training
    from utils.lora import tune

    training.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    training.SECONDS_BETWEEN_LOOKS = 0.0

    def watch(report):
        if report.steps == {step}:
            os.kill(os.getpid(), signal.SIGKILL)

    tune(tiny_model(), Letters(), EXAMPLES, LORA, held_out=EXAMPLES[:{held_out}], patience=2,
         checkpoint={path!r}, watch=watch, progress=False)
"""


@pytest.mark.parametrize("held_out", [0, 2])
@pytest.mark.parametrize("step", sorted({3, random.randint(1, 8)}))
def test_a_killed_run_ends_with_the_adapter_of_one_left_alone(tmp_path, step, held_out):
    """Killed for good (SIGKILL) at the end of an epoch and at a random step."""
    path, root = tmp_path / "checkpoint", str(Path(__file__).parents[1])
    script = textwrap.dedent(KILLED.format(root=root, step=step, held_out=held_out, path=str(path)))
    killed = subprocess.run([sys.executable, "-c", script], timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    options = {
        "settings": LORA,
        "held_out": EXAMPLES[:held_out],
        "patience": 2,
        "progress": False,
    }
    alone, expected = tune(tiny_model(), Letters(), EXAMPLES, **options)
    seen = []
    again, report = tune(
        tiny_model(),
        Letters(),
        EXAMPLES,
        **options,
        checkpoint=path,
        after_epoch=lambda epoch, tuned: seen.append(epoch),
    )
    assert seen and seen[0] > (step - 1) // 3  # it did not start anew
    ours, theirs = adapter_weights(again), adapter_weights(alone)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert report.step_losses == expected.step_losses
    assert report.held_out_losses == expected.held_out_losses


def test_a_finished_run_is_not_done_again(tmp_path):
    task = one_number(towards(2.0))
    checkpoint = training.Checkpoint(tmp_path / "run", "this one")
    train(task, SETTINGS, checkpoint, progress=False)
    again = one_number(lambda x, indices: pytest.fail("it was trained again"))
    assert train(again, SETTINGS, checkpoint, progress=False).steps == 9
    assert again.weights[0].item() == task.weights[0].item()


@pytest.mark.parametrize("change", ["settings", "examples", "model", "held out"])
def test_the_checkpoint_of_another_run_is_refused_and_stays(tmp_path, change):
    path = tmp_path / "checkpoint"
    tune(tiny_model(), Letters(), EXAMPLES, LORA, checkpoint=path, progress=False)
    before = path.read_bytes()
    model = tiny_model(seed=1 if change == "model" else 0)
    examples = EXAMPLES[::-1] if change == "examples" else EXAMPLES
    settings = replace(LORA, learning_rate=1e-3) if change == "settings" else LORA
    held_out = EXAMPLES[:1] if change == "held out" else []
    with pytest.raises(TrainingError, match="belongs to another training.*Delete it or name"):
        tune(
            model,
            Letters(),
            examples,
            settings,
            held_out=held_out,
            checkpoint=path,
            progress=False,
        )
    assert path.read_bytes() == before
    assert not adapter_weights(model)


@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda whole: b"no"])
def test_a_damaged_checkpoint_is_said(tmp_path, damage):
    path = tmp_path / "checkpoint"
    tune(tiny_model(), Letters(), EXAMPLES, LORA, checkpoint=path, progress=False)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TrainingError, match="is damaged. Delete it"):
        tune(tiny_model(), Letters(), EXAMPLES, LORA, checkpoint=path, progress=False)


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(tmp_path, monkeypatch):
    checkpoint = training.Checkpoint(tmp_path / "run", "this one")
    train(one_number(towards(2.0)), replace(SETTINGS, epochs=1), checkpoint, progress=False)
    before = checkpoint.path.read_bytes()

    def full_disk(state, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        train(one_number(towards(2.0)), SETTINGS, checkpoint, progress=False)
    assert checkpoint.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
