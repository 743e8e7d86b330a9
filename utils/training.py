"""The training loop: all that stands around `loss.backward()`, whatever is trained.

The learning rate's rise and fall, clipping, early stopping, the progress bar. A run that is killed
goes on where it was, one that is interrupted leaves what it has learnt, and one that goes wrong
says so early.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import torch
from torch import nn
from tqdm.auto import tqdm

from utils.examples import Encoded, batches, split_by_tokens

FIRST, RECENT = 2, 8  # steps: the mean loss of the last ones may not stand far above the lowest so
RISE = 2.0  # far (nats). A rate that is too high shows within ten steps: the loss doubles, or worse
SECONDS_BETWEEN_CHECKPOINTS = 20.0
SECONDS_BETWEEN_LOOKS = 8.0

FINISHED, STOPPED_EARLY, INTERRUPTED = "finished", "stopped early", "interrupted"


@dataclass(frozen=True)
class TrainingSettings:
    """The course of a training.

    learning_rate: its highest value, reached after `warmup_share` of the steps; from there it falls
    to zero linearly. clip_norm: all gradients together are cut to this length. curriculum: shares
    of the examples, from the first one on, that the first epochs draw from: with (0.25,) the first
    epoch shows the first quarter four times. All epochs are equally long.
    Raises ValueError for what can't be: no epoch, an empty batch, no step, more than all examples.
    """

    epochs: int = 6
    batch_size: int = 4
    learning_rate: float = 2e-3
    warmup_share: float = 0.05
    clip_norm: float = 1.0
    seed: int = 0
    curriculum: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        self._must_be_positive("epochs", "batch_size", "learning_rate", "clip_norm")
        if not all(0 < share <= 1 for share in self.curriculum):
            raise ValueError(f"curriculum holds shares from 0 to 1, not {self.curriculum}.")

    def _must_be_positive(self, *names: str) -> None:
        for name in names:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0, not {getattr(self, name)}.")


@dataclass
class TuningReport:
    """What a training took, and where it came to.

    losses, held_out_losses: means of every epoch (nats per label). step_losses: of every step.
    seconds: in all, those before a kill included. parameters: how many numbers were trained.
    ended: "finished", "stopped early" or "interrupted".
    """

    losses: list[float] = field(default_factory=list)
    held_out_losses: list[float] = field(default_factory=list)
    step_losses: list[float] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0
    parameters: int = 0
    steps_an_epoch: int = 0
    ended: str = FINISHED

    @property
    def steps(self) -> int:
        return len(self.step_losses)

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights were kept, from 1: the last one if nothing was held out."""
        if not self.held_out_losses:
            return len(self.losses)
        return 1 + self.held_out_losses.index(min(self.held_out_losses))

    def summary(self) -> dict:
        """What is kept with a result: all but the loss of every step, and how many there were."""
        values = asdict(self)
        values["steps"] = len(values.pop("step_losses"))
        return values


class TrainingError(ValueError):
    """The training went wrong; the message says what to do."""


def adamw(weights: Sequence[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2014, https://arxiv.org/abs/1412.6980), all weights in one go."""
    return torch.optim.AdamW(weights, learning_rate, weight_decay=0.0, fused=True)


@dataclass(frozen=True)
class Task:
    """What is trained, and on what.

    weights: the parameters that are trained. loss: of the examples with the given indices, a mean
    over their labels (nats) with its gradient. lengths: the tokens of each example that is trained
    on. held_out: the indices of examples that are not, if there are some; after `patience` epochs
    without a lower loss on them it stops (0 for never). optimizer(weights, learning_rate): makes
    the optimizer; each of its groups of weights has its own highest learning rate, of which every
    step takes the share that the schedule says. labels: how many each example has. With them a
    batch goes through the model in parts of at most `most_tokens`, and their gradients add up to
    those of the whole: memory no longer grows with the batch.
    """

    model: nn.Module
    weights: Sequence[nn.Parameter]
    loss: Callable[[Sequence[int]], torch.Tensor]
    lengths: Sequence[int]
    held_out: Sequence[int] = ()
    patience: int = 0
    optimizer: Callable[[Sequence[nn.Parameter], float], torch.optim.Optimizer] = adamw
    labels: Sequence[int] = ()
    most_tokens: int = 0

    def parts(self, batch: Sequence[int]) -> list[tuple[Sequence[int], float]]:
        """The batch in parts, each with its share of the batch's labels."""
        if not self.labels:
            return [(batch, 1.0)]
        parts = split_by_tokens(batch, self.lengths, self.most_tokens)
        labels = [sum(self.labels[index] for index in part) for part in parts]
        return [(part, some / sum(labels)) for part, some in zip(parts, labels, strict=True)]


def train(
    task: Task,
    settings: TrainingSettings,
    checkpoint: Checkpoint | None = None,
    after_epoch: Callable[[int], None] | None = None,
    watch: Callable[[TuningReport], None] | None = None,
    progress: bool = True,
) -> TuningReport:
    """Change the weights in place until the last epoch, or until early stopping or Ctrl-C.

    checkpoint: where the run is kept every few seconds; the same call goes on from there.
    after_epoch(epoch): called with epochs counted from 1. watch(report): called every few
    seconds, for example to draw the losses. Raises `TrainingError` when the loss is no longer a
    number or rises too far, and when the checkpoint is another run's.
    """
    run = _Run(task, settings)
    if checkpoint is not None:
        checkpoint.restore(run)
    look, save = _Every(SECONDS_BETWEEN_LOOKS), _Every(SECONDS_BETWEEN_CHECKPOINTS)
    done = run.report.steps
    bar = tqdm(
        total=run.steps_in_all, initial=done, desc="Tuning", unit="step", disable=not progress
    )
    try:
        while not run.ended():
            for batch in run.rest_of_epoch():
                run.step(batch)
                bar.update()
                bar.set_postfix(run.figures(), refresh=False)
                if watch is not None and look.due():
                    watch(run.report)
                if checkpoint is not None and save.due():
                    checkpoint.save(run)
            run.close_epoch()
            if after_epoch is not None:
                after_epoch(len(run.report.losses))
            if checkpoint is not None:
                checkpoint.save(run)
    except KeyboardInterrupt:
        if checkpoint is not None:
            checkpoint.save(run)
        run.report.ended = INTERRUPTED
        print(f"\nStopped after {run.report.steps} steps; what was learnt up to here stays.")
    finally:
        bar.close()
        task.model.eval()
    run.keep_best()
    if watch is not None:
        watch(run.report)
    return run.report


class _Run:
    """A training under way: all that a checkpoint must hold, and the steps forward."""

    def __init__(self, task: Task, settings: TrainingSettings) -> None:
        self.task, self.settings = task, settings
        self.steps_an_epoch = -(-len(task.lengths) // settings.batch_size)
        self.steps_in_all = settings.epochs * self.steps_an_epoch
        self.optimizer = task.optimizer(task.weights, settings.learning_rate)
        self.highest_rates = [group["lr"] for group in self.optimizer.param_groups]
        parameters = sum(weights.numel() for weights in task.weights)
        self.report = TuningReport(parameters=parameters, steps_an_epoch=self.steps_an_epoch)
        self.best: list[torch.Tensor] = []  # the weights of the best epoch by the held-out loss
        self.lowest = math.inf  # the lowest mean loss of a few steps ...
        self.since = 0  # ... since this one, from which on they draw from the same examples
        self._last = time.perf_counter()

    def ended(self) -> bool:
        """Whether the last epoch is done, or early stopping says so."""
        report, patience = self.report, self.task.patience
        if len(report.losses) == self.settings.epochs:
            return True
        if patience and len(report.held_out_losses) - report.best_epoch >= patience:
            report.ended = STOPPED_EARLY
        return report.ended == STOPPED_EARLY

    def rest_of_epoch(self) -> Iterator[list[int]]:
        """The batches of the current epoch that are not done yet; seed and epoch give the order."""
        done, count = len(self.report.losses), len(self.task.lengths)
        curriculum = self.settings.curriculum
        if done <= len(curriculum):  # the loss of examples not seen before begins high again
            self.lowest, self.since = math.inf, done * self.steps_an_epoch
        share = curriculum[done] if done < len(curriculum) else 1.0
        order = torch.Generator().manual_seed(1000 * self.settings.seed + done)
        epoch = batches(count, self.settings.batch_size, order, max(1, round(share * count)))
        self.task.model.train()
        return islice(epoch, self.report.steps - done * self.steps_an_epoch, None)

    def step(self, batch: list[int]) -> None:
        share = warmup_then_decay(self.settings.warmup_share, self.steps_in_all, self.report.steps)
        for group, highest in zip(self.optimizer.param_groups, self.highest_rates, strict=True):
            group["lr"] = share * highest
        mean = 0.0
        for part, share_of_labels in self.task.parts(batch):
            loss = share_of_labels * self.task.loss(part)
            mean += loss.item()
            self._check(mean)
            loss.backward()
        nn.utils.clip_grad_norm_(self.task.weights, self.settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.report.step_losses.append(mean)
        self.report.tokens += sum(self.task.lengths[index] for index in batch)
        self._count_seconds()

    def close_epoch(self) -> None:
        """Add up the epoch, and keep its weights if they are the best so far."""
        self.task.model.eval()
        epoch = self.report.step_losses[-self.steps_an_epoch :]
        self.report.losses.append(sum(epoch) / len(epoch))
        if self.task.held_out:
            self.report.held_out_losses.append(self._held_out_loss())
            if self.report.best_epoch == len(self.report.losses):
                self.best = [weights.detach().clone() for weights in self.task.weights]
        self._count_seconds()

    def keep_best(self) -> None:
        """Go back to the weights of the best epoch, where held-out examples tell which it was."""
        with torch.no_grad():
            for weights, best in zip(self.task.weights, self.best, strict=False):
                weights.copy_(best)

    def figures(self) -> dict[str, str]:
        """What stands beside the progress bar."""
        report = self.report
        return {
            "epoch": f"{len(report.losses) + 1}",
            "loss": f"{report.step_losses[-1]:.2f}",
            "tokens_per_s": f"{report.tokens / report.seconds:.0f}",
        }

    def state(self) -> dict:
        """All that changes while it runs; `load_state` goes on from there."""
        return {
            "report": asdict(self.report),
            "weights": [weights.detach() for weights in self.task.weights],
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }

    def load_state(self, state: dict) -> None:
        self.report = TuningReport(**state["report"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]
        with torch.no_grad():
            for weights, kept in zip(self.task.weights, state["weights"], strict=True):
                weights.copy_(kept)

    def _check(self, loss: float) -> None:
        """Stop a training that goes wrong before it goes on for minutes."""
        rate = f"the learning rate {self.settings.learning_rate:g} is too high for these data. Try "
        if not math.isfinite(loss):
            raise TrainingError(f"The loss is no longer a number: {rate}a third of it.")
        losses = self.report.step_losses[self.since :]
        if len(losses) < RECENT:
            return
        recent = sum(losses[-RECENT:]) / RECENT
        self.lowest = min(self.lowest, recent, sum(losses[:FIRST]) / FIRST)
        if recent > self.lowest + RISE:
            raise TrainingError(
                f"The loss rises: {recent:.1f} nats over the last {RECENT} steps, after it was "
                f"{self.lowest:.1f}. Most likely {rate}a third of it."
            )

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        rows, size = list(self.task.held_out), self.settings.batch_size
        losses = [self.task.loss(rows[i : i + size]).item() for i in range(0, len(rows), size)]
        return sum(losses) / len(losses)

    def _count_seconds(self) -> None:
        now = time.perf_counter()
        self.report.seconds += now - self._last
        self._last = now


def warmup_then_decay(warmup_share: float, steps: int, step: int) -> float:
    """The share of the highest learning rate at a step, counted from 0: up, then down to zero."""
    warmup = max(1, round(warmup_share * steps))
    return min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))


class Checkpoint:
    """A file that holds a training under way, written whole or not at all.

    identity: says which training it is (`identify`); another one's file is not taken.
    """

    def __init__(self, path: str | Path, identity: str) -> None:
        self.path, self.identity = Path(path), identity

    def save(self, run: _Run) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            torch.save({"identity": self.identity, **run.state()}, part)
            os.replace(part, self.path)
        finally:
            part.unlink(missing_ok=True)

    def restore(self, run: _Run) -> None:
        """Put the run where the file says. Raises `TrainingError` if it is damaged or another's."""
        if not self.path.is_file():
            return
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # pickle, zip and torch each have their own
            raise TrainingError(
                f"{self.path} is damaged. Delete it; the training then starts anew."
            ) from error
        if state.pop("identity", None) != self.identity:
            raise TrainingError(
                f"{self.path} belongs to another training: other examples, settings or another "
                "model. Delete it or name another file."
            )
        run.load_state(state)


def identify(examples: Sequence[Encoded], *others) -> str:
    """A hash of all that decides a training's course: settings, the model, and the examples."""
    digest = hashlib.sha256(repr(others).encode())
    for example in examples:
        digest.update(example.token_ids.numpy().tobytes() + example.labels.numpy().tobytes())
    return digest.hexdigest()


class _Every:
    """Says at most once in so many seconds that something is due."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.last = seconds, time.monotonic()

    def due(self) -> bool:
        now = time.monotonic()
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True
