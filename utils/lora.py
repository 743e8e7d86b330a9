"""Tuning inside the model: low-rank adapters (LoRA), fast enough for a laptop.

LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685) keeps a weight matrix W frozen and learns a
small correction B A beside it: h = W x + (alpha / rank) B A x. `peft` puts the pairs A, B into the
model; this module trains them. Five habits make it fast:

- only the upper layers get adapters. What the layers below compute never changes, so it is computed
  once and kept, and once for all examples that begin alike (`utils.lower_layers`);
- the logits of the whole vocabulary are computed only where there is a label (`label_loss`);
- the examples of a batch stand one after another in one row, so nothing is padded
  (`utils.examples.pack`); a long row goes through the model in parts, whose gradients add up, so
  that memory does not grow with the batch;
- the products W x and B A x are one step with a short way back (`utils.lora_product`);
- B, which begins at zero, has a much higher learning rate than A: LoRA+ (Hayou et al. 2024,
  https://arxiv.org/abs/2402.12354). The same number of steps then teaches far more.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.nn.functional import cross_entropy, pad
from torch.utils.checkpoint import checkpoint as torch_checkpoint

from utils.adapters import fingerprint, remove_adapter
from utils.devices import rows_to_add
from utils.examples import IGNORED, Encoded, Example, encode, pack
from utils.lora_product import adapted_layers, short_products
from utils.lower_layers import KEEP_GB, KeptStates, kept_states, only_layers
from utils.machine import free_memory
from utils.training import Checkpoint, Task, TrainingSettings, TuningReport, identify, train

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

# Numbers that the way back keeps of a token in one layer: so many of the model's width, and so many
# of the width inside its MLP.
STATES_A_LAYER, WIDE_STATES_A_LAYER = 16, 6
LABELS_AT_ONCE = 128  # whose logits are in memory together
TOKENS_AT_ONCE = 160  # that go there and back together: more take memory, fewer take time
SET_ASIDE = 1.5e8  # bytes that PyTorch takes for itself when it trains for the first time
NUMBERS_A_RANK = 9  # a rank's numbers in one layer are fewer than so many times both widths

# peft, and we for the oldest Python, ask transformers for something by its old name; a learner can
# do nothing about that.
warnings.filterwarnings("ignore", message=".*gradient_checkpointing", category=FutureWarning)


@dataclass(frozen=True)
class LoraSettings(TrainingSettings):
    """The shape of the adapter, and the course of the training.

    learning_rate: of A; B's is `rate_ratio` times as high. It goes with the batch: half of the
    batch wants half of the rate. upper_layers: how many layers get an adapter, counted from the
    top.
    """

    batch_size: int = 8
    rank: int = 16
    alpha: int = 32
    upper_layers: int = 10
    learning_rate: float = 2e-4
    rate_ratio: float = 128.0
    targets: tuple[str, ...] = PROJECTIONS

    def __post_init__(self) -> None:
        super().__post_init__()
        self._must_be_positive("rank", "alpha", "rate_ratio")


def tune(
    model,
    tokenizer,
    examples: Sequence[Example],
    settings: LoraSettings = LoraSettings(),
    *,
    held_out: Sequence[Example] = (),
    patience: int = 0,
    keep_gb: float = KEEP_GB,
    after_epoch: Callable[[int, PeftModel], None] | None = None,
    checkpoint: str | Path | None = None,
    watch: Callable[[TuningReport], None] | None = None,
    progress: bool = True,
) -> tuple[PeftModel, TuningReport]:
    """Teach the model the examples; returns the model with its new adapter, and a report.

    `model` itself carries the adapter afterwards: `with tuned.disable_adapter()` asks the base
    model, `remove_adapter(tuned)` gives it back.

    held_out: examples that are never trained on; the adapter of the epoch with their lowest loss is
    kept, and after `patience` epochs without a lower one it stops (0 for never). keep_gb: what the
    layers below computed is kept in memory up to this size (10^9 bytes), beyond it in a file.
    after_epoch(epoch, tuned): called with epochs counted from 1, for example to ask
    questions. checkpoint: a file that holds the run; the same call goes on where a killed one was.
    watch(report): called every few seconds. Ctrl-C ends it and leaves the adapter as it is then.

    Raises ValueError if there is nothing to learn, an example does not fit into the model's context
    or the model carries an adapter; MemoryError if the memory is too small; `TrainingError` (a
    ValueError) if the loss is no number or rises. The model then is as it was before.
    """
    longest = model.config.max_position_embeddings
    trained = encode(tokenizer, examples, longest)
    encoded = trained + (encode(tokenizer, held_out, longest) if held_out else [])
    first = _lowest_adapted_layer(model, settings)
    check_memory(model, settings, encoded, keep_gb)
    torch.manual_seed(settings.seed)  # peft fills A with random numbers
    tuned = _add_adapter(model, settings, first)
    try:
        with kept_states(tuned, encoded, first, keep_gb, progress) as kept:
            task = Task(
                model=tuned,
                weights=[weights for weights in tuned.parameters() if weights.requires_grad],
                loss=_loss_of(tuned, encoded, kept, first),
                lengths=[len(example) for example in trained],
                held_out=range(len(trained), len(encoded)),
                patience=patience,
                optimizer=_lora_plus(tuned, settings.rate_ratio),
                labels=[example.learnt for example in trained],
                most_tokens=TOKENS_AT_ONCE,
            )
            kept_run = None
            if checkpoint is not None:
                others = settings, patience, len(trained), fingerprint(model), str(model.dtype)
                kept_run = Checkpoint(checkpoint, identify(encoded, *others))
            each_epoch = None if after_epoch is None else lambda epoch: after_epoch(epoch, tuned)
            report = train(task, settings, kept_run, each_epoch, watch, progress)
    except BaseException:
        remove_adapter(tuned)
        raise
    return tuned, report


def label_loss(model, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the labels (nats), from what the last layer gives.

    states: (tokens, width) and labels: (tokens,), the tokens that follow (`examples.pack`). The
    vocabulary's logits, 49,152 numbers a token, are computed only where there is a label; where
    labels are many, a few at a time, and once more on the way back instead of being kept.
    """
    learnt = labels != IGNORED
    states, labels = states[learnt], labels[learnt]
    count = len(labels)
    fill = rows_to_add(count, states)
    wanted = pad(labels, (0, fill), value=IGNORED).split(LABELS_AT_ONCE)
    parts = pad(states, (0, 0, 0, fill)).split(LABELS_AT_ONCE)
    head = model.get_output_embeddings()
    if len(parts) == 1:
        return _summed_loss(head, parts[0], wanted[0]) / count
    losses = [
        torch_checkpoint(_summed_loss, head, *pair, use_reentrant=False)
        for pair in zip(parts, wanted, strict=True)
    ]
    return sum(losses) / count


def _summed_loss(head: nn.Module, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    logits = head(states).float()
    return cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")


def _loss_of(
    tuned: PeftModel, encoded: Sequence[Encoded], kept: KeptStates, first: int
) -> Callable[[Sequence[int]], torch.Tensor]:
    """The loss of some examples, through the upper layers only."""
    adapted = adapted_layers(tuned)

    def loss(indices: Sequence[int]) -> torch.Tensor:
        some = [encoded[index] for index in indices]
        fill = rows_to_add(sum(len(example.read) for example in some), tuned)
        batch = pack(some, tuned.device, fill)
        given = {"inputs_embeds": kept.packed(indices, tuned.device, fill), "use_cache": False}
        with only_layers(tuned, slice(first, None)) as backbone, short_products(adapted):
            states = backbone(**given, position_ids=batch.positions).last_hidden_state
        return label_loss(tuned, states[0], batch.labels)

    return loss


def _lora_plus(tuned: PeftModel, rate_ratio: float) -> Callable[..., torch.optim.Optimizer]:
    """Makes Adam with one learning rate for A and a higher one for B."""

    def optimizer(weights: Sequence[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
        rates = {"lr": learning_rate, "loraplus_lr_ratio": rate_ratio}
        return create_loraplus_optimizer(tuned, torch.optim.AdamW, **rates, fused=True)

    return optimizer


def _lowest_adapted_layer(model, settings: LoraSettings) -> int:
    depth = model.config.num_hidden_layers
    if not 1 <= settings.upper_layers <= depth:
        raise ValueError(f"upper_layers must be 1 to {depth}, not {settings.upper_layers}.")
    if any(isinstance(module, BaseTunerLayer) for module in model.modules()):
        raise ValueError("The model carries an adapter. Take it out first: remove_adapter(tuned).")
    return depth - settings.upper_layers


def _add_adapter(model, settings: LoraSettings, first: int) -> PeftModel:
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=list(settings.targets),
        layers_to_transform=list(range(first, model.config.num_hidden_layers)),
        layers_pattern="layers",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


# --- memory -----------------------------------------------------------------------------------


def memory_needed(
    model, settings: LoraSettings, encoded: Sequence[Encoded], keep_gb: float = KEEP_GB
) -> float:
    """Bytes that tuning takes beside the model: an estimate from above, tested against the peak.

    What the way back needs of the longest part of a batch, the logits of its labels, the adapter
    with its gradients and AdamW's two means, and the hidden states that are kept in memory.
    """
    config, size = model.config, model.dtype.itemsize
    width, wide = config.hidden_size, config.intermediate_size
    lengths = sorted((len(example) for example in encoded), reverse=True)
    # A part of a batch is cut at TOKENS_AT_ONCE, but for one example that is longer by itself.
    tokens = min(sum(lengths[: settings.batch_size]), max(lengths[0], TOKENS_AT_ONCE))
    labels = min(LABELS_AT_ONCE, tokens)
    a_token = settings.upper_layers * (STATES_A_LAYER * width + WIDE_STATES_A_LAYER * wide) * size
    adapter = settings.upper_layers * settings.rank * NUMBERS_A_RANK * (width + wide)
    kept = min(sum(lengths) * width * size, 1e9 * keep_gb)
    logits = 12 * labels * config.vocab_size
    return SET_ASIDE + tokens * a_token + logits + 16 * adapter + kept


def check_memory(
    model, settings: LoraSettings, encoded: Sequence[Encoded], keep_gb: float = KEEP_GB
) -> None:
    """Raise MemoryError before the memory runs out, and say which setting takes less."""
    if model.device.type != "cpu":
        return  # the other devices say themselves when they are full, and nothing is lost
    needed, free = memory_needed(model, settings, encoded, keep_gb), free_memory()
    if free is not None and needed > free:
        raise MemoryError(
            f"Tuning with these settings takes about {needed / 1e9:.1f} GB beside the model; "
            f"{free / 1e9:.1f} GB are free. Take fewer upper_layers (now {settings.upper_layers}), "
            "shorter examples or a smaller keep_gb, or close other programs and notebooks."
        )
