"""Tuning inside the model: low-rank adapters (LoRA), fast enough for a laptop.

LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685) keeps a weight matrix W frozen and learns a
small correction B A beside it: h = W x + (alpha / rank) B A x. `peft` puts the pairs A, B into the
model; this module trains them. Three habits make it fast:

- only the upper layers get adapters. What the layers below compute never changes, so it is computed
  once for each example and kept (`_read_lower_layers`);
- the logits of the whole vocabulary are computed only where there is a label (`_loss`);
- a batch holds examples of like length, so little is padded (`_batches`).
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
IGNORED = -100  # the label of a token that is read but not learnt

# peft asks transformers for something by its old name; a learner can do nothing about that.
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)


@dataclass(frozen=True)
class Example:
    """One thing to learn: after `prompt`, say `answer`.

    Only the answer's tokens count in the loss. An empty prompt makes every token of the answer
    count, which is continued pre-training on raw text.
    """

    prompt: str
    answer: str


@dataclass(frozen=True)
class LoraSettings:
    """How to tune: the shape of the adapter, then the course of the training.

    upper_layers: how many layers get an adapter, counted from the top. learning_rate: its highest
    value, reached after `warmup_share` of the steps; from there it falls to zero linearly.
    """

    rank: int = 16
    alpha: int = 32
    upper_layers: int = 10
    targets: tuple[str, ...] = PROJECTIONS
    epochs: int = 6
    batch_size: int = 4
    learning_rate: float = 2e-3
    warmup_share: float = 0.05
    clip_norm: float = 1.0
    seed: int = 0


@dataclass
class TuningReport:
    """What tuning took: mean loss of each epoch (nats per label), steps, tokens read, seconds in
    all, and the number of trained parameters."""

    losses: list[float] = field(default_factory=list)
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    parameters: int = 0


@dataclass(frozen=True)
class _Encoded:
    """An example as the upper layers meet it: token ids and labels, shape (tokens,), and hidden
    states, shape (tokens, width)."""

    token_ids: torch.Tensor
    labels: torch.Tensor
    hidden: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.token_ids)


def tune(
    model,
    tokenizer,
    examples: Sequence[Example],
    settings: LoraSettings = LoraSettings(),
    after_epoch: Callable[[int, PeftModel], None] | None = None,
    progress: bool = True,
) -> tuple[PeftModel, TuningReport]:
    """Teach the model the examples; returns the model with its new adapter, and a report.

    `model` itself carries the adapter afterwards: `with tuned.disable_adapter()` asks the base
    model, `remove_adapter(tuned)` gives it back. `after_epoch(epoch, tuned)` is called with epochs
    counted from 1, for example to draw a learning curve.

    Raises ValueError if there is nothing to learn, an example does not fit into the model's
    context, or the loss is no longer a number.
    """
    start = time.perf_counter()
    torch.manual_seed(settings.seed)
    encoded = _encode(model, tokenizer, examples)
    tuned = _add_adapter(model, settings)
    first = model.config.num_hidden_layers - settings.upper_layers
    encoded = _read_lower_layers(tuned, encoded, first, tokenizer.pad_token_id, progress)

    trained = [weights for weights in tuned.parameters() if weights.requires_grad]
    steps = settings.epochs * -(-len(encoded) // settings.batch_size)
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warmup_then_decay(settings, steps))
    order = torch.Generator().manual_seed(settings.seed)

    report = TuningReport(parameters=sum(weights.numel() for weights in trained))
    with tqdm(total=steps, desc="Tuning", unit="step", disable=not progress) as bar:
        for epoch in range(1, settings.epochs + 1):
            tuned.train()
            losses = []
            for batch in _batches(encoded, settings.batch_size, order):
                loss = _loss(tuned, batch, first)
                loss.backward()
                nn.utils.clip_grad_norm_(trained, settings.clip_norm)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                losses.append(_finite(loss.item(), settings))
                report.steps += 1
                report.tokens += sum(len(example) for example in batch)
                report.seconds = time.perf_counter() - start
                bar.update()
                bar.set_postfix(
                    epoch=epoch,
                    loss=f"{loss.item():.2f}",
                    tokens_per_s=f"{report.tokens / report.seconds:.0f}",
                    refresh=False,
                )
            report.losses.append(sum(losses) / len(losses))
            tuned.eval()
            if after_epoch is not None:
                after_epoch(epoch, tuned)
    return tuned, report


def remove_adapter(tuned: PeftModel):
    """Take the adapter out again; returns the base model as it was before."""
    return tuned.unload()


def save_adapter(tuned: PeftModel, folder: str | Path, notes: dict | None = None) -> Path:
    """Write the adapter as a folder that plain peft loads, in half precision, whole or not at all.

    notes: what to keep beside it as notes.json, such as settings and results.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        tuned.save_pretrained(part)
        (part / "README.md").unlink(missing_ok=True)  # peft's form to fill in; notes.json says it
        _tidy(part / "adapter_config.json")
        weights = load_file(part / "adapter_model.safetensors")
        save_file(
            {name: matrix.half() for name, matrix in weights.items()},
            part / "adapter_model.safetensors",
            metadata={"format": "pt"},
        )
        (part / "adapter_model.safetensors").chmod(0o644)  # safetensors writes 0600
        if notes is not None:
            (part / "notes.json").write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        part.chmod(0o755)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def load_adapter(model, folder: str | Path) -> PeftModel:
    """Put a saved adapter into the model. Raises FileNotFoundError if the folder holds none."""
    folder = Path(folder)
    if not (folder / "adapter_config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no adapter: adapter_config.json is missing there.")
    return PeftModel.from_pretrained(model, str(folder)).eval()


def _tidy(config: Path) -> None:
    """Make equal adapters equal files: what depends on the machine or on chance is taken out."""
    values = json.loads(config.read_text(encoding="utf-8"))
    values["base_model_name_or_path"] = Path(values["base_model_name_or_path"] or "").name
    values["target_modules"] = sorted(values["target_modules"])  # peft keeps them as a set
    config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _encode(model, tokenizer, examples: Sequence[Example]) -> list[_Encoded]:
    if not examples:
        raise ValueError("There is nothing to learn: `examples` is empty.")
    limit = model.config.max_position_embeddings
    encoded = []
    for example in examples:
        # A token is predicted from the ones before it, so the first needs something to its left.
        prompt = _ids(tokenizer, example.prompt) or [tokenizer.bos_token_id]
        answer = _ids(tokenizer, example.answer)
        if not answer:
            raise ValueError(f"This example has no answer to learn: {example.prompt!r}")
        if len(prompt) + len(answer) > limit:
            raise ValueError(
                f"An example of {len(prompt) + len(answer)} tokens does not fit into the model's "
                f"context of {limit}. Cut it into pieces. It begins: {example.prompt[:60]!r}"
            )
        labels = [IGNORED] * len(prompt) + answer
        encoded.append(_Encoded(torch.tensor(prompt + answer), torch.tensor(labels)))
    return encoded


def _ids(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids if text else []


def _add_adapter(model, settings: LoraSettings) -> PeftModel:
    depth = model.config.num_hidden_layers
    if not 1 <= settings.upper_layers <= depth:
        raise ValueError(f"upper_layers must be 1 to {depth}, not {settings.upper_layers}.")
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=list(settings.targets),
        layers_to_transform=list(range(depth - settings.upper_layers, depth)),
        layers_pattern="layers",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def _warmup_then_decay(settings: LoraSettings, steps: int) -> Callable[[int], float]:
    warmup = max(1, round(settings.warmup_share * steps))
    return lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))


@torch.no_grad()
def _read_lower_layers(
    tuned: PeftModel, encoded: list[_Encoded], first: int, pad_id: int, progress: bool
) -> list[_Encoded]:
    """Each example with the hidden states that enter layer `first`, the lowest with an adapter."""
    by_length = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    read = list(encoded)
    with tqdm(total=len(encoded), desc="Reading", unit="example", disable=not progress) as bar:
        for start in range(0, len(by_length), 32):
            indices = by_length[start : start + 32]
            rows = [encoded[index].token_ids for index in indices]
            token_ids = pad_sequence(rows, batch_first=True, padding_value=pad_id).to(tuned.device)
            with _only_layers(tuned, slice(0, first), final_norm=False) as backbone:
                hidden = backbone(input_ids=token_ids, use_cache=False).last_hidden_state
            for index, states in zip(indices, hidden, strict=True):
                example = encoded[index]
                # A copy, so that the padded batch does not stay in memory behind the view.
                states = states[: len(example)].clone()
                read[index] = _Encoded(example.token_ids, example.labels, states)
            bar.update(len(indices))
    return read


def _batches(
    encoded: list[_Encoded], batch_size: int, order: torch.Generator
) -> Iterator[list[_Encoded]]:
    """One epoch in random order; within a stretch of eight batches, like lengths come together."""
    shuffled = torch.randperm(len(encoded), generator=order).tolist()
    batches = []
    for start in range(0, len(shuffled), 8 * batch_size):
        stretch = shuffled[start : start + 8 * batch_size]
        stretch.sort(key=lambda index: len(encoded[index]))
        batches += [stretch[i : i + batch_size] for i in range(0, len(stretch), batch_size)]
    for index in torch.randperm(len(batches), generator=order).tolist():
        yield [encoded[example] for example in batches[index]]


def _loss(tuned: PeftModel, batch: list[_Encoded], first: int) -> torch.Tensor:
    """Cross-entropy of the labels (nats), through the upper layers only.

    Padding stands on the right, where a causal model's earlier tokens cannot see it, so no mask is
    needed.
    """
    hidden = pad_sequence([example.hidden for example in batch], batch_first=True)
    rows = [example.labels for example in batch]
    labels = pad_sequence(rows, batch_first=True, padding_value=IGNORED).to(tuned.device)
    with _only_layers(tuned, slice(first, None)) as backbone:
        states = backbone(inputs_embeds=hidden, use_cache=False).last_hidden_state
    predicts_label = labels[:, 1:] != IGNORED  # the state at token t predicts token t + 1
    logits = tuned.get_base_model().lm_head(states[:, :-1][predicts_label])
    return nn.functional.cross_entropy(logits.float(), labels[:, 1:][predicts_label])


@contextmanager
def _only_layers(tuned: PeftModel, layers: slice, final_norm: bool = True):
    """The model's backbone with some of its layers, for as long as the context lasts."""
    backbone = tuned.get_base_model().model
    all_layers, norm = backbone.layers, backbone.norm
    backbone.layers = all_layers[layers]
    backbone.norm = norm if final_norm else nn.Identity()
    try:
        yield backbone
    finally:
        backbone.layers, backbone.norm = all_layers, norm


def _finite(loss: float, settings: LoraSettings) -> float:
    if loss != loss or loss == float("inf"):
        raise ValueError(
            f"The loss is no longer a number: the learning rate {settings.learning_rate} is too "
            "high for these data. Try a third of it."
        )
    return loss
