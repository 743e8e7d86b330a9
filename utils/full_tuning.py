"""Tuning without an adapter, to compare with: every weight of the model, or its output layer alone.

Habits make both fit into a laptop's memory:

- `tune_all`: the gradients of all weights are as large as the model, and Adam's two means twice as
  large again. So each matrix is changed as soon as its gradient is known, which is then forgotten
  (Lv et al. 2023, https://arxiv.org/abs/2306.09782), by Adafactor, which keeps a mean for each row
  and each column only (Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235). What a layer
  needs for the way back is computed again when it is needed, not kept (Chen et al. 2016,
  https://arxiv.org/abs/1604.06174).
- `tune_head`: nothing below the output layer changes, so the layers are read once and kept.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from utils.examples import Encoded, Example, encode, pack
from utils.lora import label_loss
from utils.lower_layers import kept_states
from utils.training import Task, TrainingSettings, TuningReport, train

ALL_WEIGHTS = TrainingSettings(learning_rate=5e-3)  # Adafactor's is a share of each matrix's size
HEAD = TrainingSettings(learning_rate=1e-3)


def tune_all(
    model,
    tokenizer,
    examples: Sequence[Example],
    settings: TrainingSettings = ALL_WEIGHTS,
    progress: bool = True,
) -> TuningReport:
    """Teach the model the examples by changing every weight, in place.

    The model must be in float32: a bfloat16 weight is too coarse for the small changes. There is no
    way back but to load it again. Raises ValueError and `TrainingError` as `utils.lora.tune` does.
    """
    if model.dtype != torch.float32:
        raise ValueError(f"Load the model in float32 to tune all its weights; it is {model.dtype}.")
    encoded = encode(tokenizer, examples, model.config.max_position_embeddings)

    def loss(indices: Sequence[int]) -> torch.Tensor:
        batch = pack([encoded[index] for index in indices], model.device)
        given = {"input_ids": batch.token_ids, "position_ids": batch.positions}
        states = model.get_decoder()(**given, use_cache=False).last_hidden_state
        return label_loss(model, states[0], batch.labels)

    weights = list(model.requires_grad_(True).parameters())  # an adapter's model was frozen
    optimizer = AdafactorOnTheWay(weights, settings.learning_rate)
    task = Task(model, weights, loss, _lengths(encoded), optimizer=lambda *_: optimizer)
    model.gradient_checkpointing_enable()
    try:
        return train(task, settings, progress=progress)
    finally:
        model.gradient_checkpointing_disable()
        optimizer.remove()


def tune_head(
    model,
    tokenizer,
    examples: Sequence[Example],
    settings: TrainingSettings = HEAD,
    progress: bool = True,
) -> TuningReport:
    """Teach the model the examples by changing its output layer alone, in place.

    The embeddings, which many models share with that layer, stay as they are: it gets a copy of its
    own, in float32. There is no way back but to load the model again.
    """
    encoded = encode(tokenizer, examples, model.config.max_position_embeddings)
    head = copy.deepcopy(model.get_output_embeddings()).float()
    head.weight.requires_grad_(True)
    depth = model.config.num_hidden_layers
    with kept_states(model, encoded, depth, progress=progress) as kept:

        def loss(indices: Sequence[int]) -> torch.Tensor:
            batch = pack([encoded[index] for index in indices], model.device)
            with torch.no_grad():
                states = model.get_decoder().norm(kept.packed(indices, model.device)).float()
            return label_loss(model, states[0], batch.labels)

        model.config.tie_word_embeddings = False
        model.set_output_embeddings(head)
        task = Task(model, [head.weight], loss, _lengths(encoded))
        report = train(task, settings, progress=progress)
    model.set_output_embeddings(head.to(model.dtype))
    return report


class AdafactorOnTheWay:
    """An optimizer whose steps are taken on the way back, matrix by matrix.

    `step` has nothing left to do. Gradients can't be clipped together, since they are never there
    together; Adafactor limits each step by itself.
    """

    def __init__(self, weights: Sequence[nn.Parameter], learning_rate: float) -> None:
        self._optimizers = {
            matrix: torch.optim.Adafactor([matrix], learning_rate, weight_decay=0.0)
            for matrix in weights
        }
        self._hooks = [w.register_post_accumulate_grad_hook(self._change) for w in weights]

    @property
    def param_groups(self) -> list[dict]:
        return [group for one in self._optimizers.values() for group in one.param_groups]

    def _change(self, matrix: nn.Parameter) -> None:
        self._optimizers[matrix].step()
        matrix.grad = None

    def remove(self) -> None:
        """Leave the weights alone from here on."""
        for hook in self._hooks:
            hook.remove()

    def step(self) -> None:
        """Nothing: every matrix was changed on the way back."""

    def zero_grad(self) -> None:
        """Nothing: every gradient is forgotten already."""


def _lengths(encoded: Sequence[Encoded]) -> list[int]:
    return [len(example) for example in encoded]
