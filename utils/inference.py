"""Ask the language model: greedy completions, and the log-likelihood of given continuations.

Both work on batches and can start from a *prefix*: a text that many prompts share, such as five
worked examples. The model reads the prefix once and keeps its keys and values; every prompt then
starts from a copy of them. In the same way a passage is read once for all questions of a batch that
are asked about it. Answers stay the same, the time per question falls.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from utils.prompts import SEPARATOR, before_question

ROWS_OF_LOGITS = 2  # texts whose probabilities are computed at once
# Tokens read in one batch; the default model keeps 46 kB for each in fp32. Scoring also needs room
# for the continuations.
TOKENS_WRITING, TOKENS_SCORING = 3072, 1536


@dataclass(frozen=True)
class Prefix:
    """A text that the model has read already.

    token_ids: shape (1, n); cache: the keys and values of these n tokens in every layer.
    """

    text: str
    token_ids: torch.Tensor
    cache: DynamicCache

    def __len__(self) -> int:
        return self.token_ids.shape[1]


@torch.inference_mode()
def encode_prefix(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str
) -> Prefix | None:
    """Let the model read `text` once; an empty text gives None, which means "no prefix".

    White space at the end is dropped: a tokenizer joins it with what follows, so the tokens of
    prefix and prompt would not be the tokens of the whole text. A blank line follows instead, as
    the beginning of each prompt.
    """
    text = text.rstrip()
    if not text:
        return None
    token_ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
    token_ids = token_ids.to(model.device)
    output = model(token_ids, use_cache=True, logits_to_keep=1)
    return Prefix(text, token_ids, output.past_key_values)


def complete(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    prefix: Prefix | None = None,
    max_new_tokens: int = 12,
    batch_size: int = 16,
    progress: str | None = None,
) -> list[str]:
    """Continue each prompt with the likeliest token, step by step, up to the end of the line.

    prompts: n texts, read after the prefix. progress: a label for the progress bar, None for none.
    Returns n texts without surrounding white space, in the order of the prompts.
    """
    answers = [""] * len(prompts)
    stop_ids = line_end_ids(tokenizer)
    for batch in _batches_by_length(
        tokenizer, prompts, batch_size, prefix, TOKENS_WRITING, progress
    ):
        texts = _write(model, tokenizer, batch.texts, prefix, max_new_tokens, stop_ids)
        for index, text in zip(batch.indices, texts, strict=True):
            answers[index] = text.split("\n")[0].strip()
    return answers


@torch.inference_mode()
def _write(model, tokenizer, prompts, prefix, max_new_tokens: int, stop_ids) -> list[str]:
    """What the model writes after each prompt.

    A function of its own, so that the keys and values of one batch are gone before the next.
    """
    token_ids, mask, cache = _batch_after_prefix(model, tokenizer, prompts, prefix)
    output = model.generate(
        input_ids=token_ids,
        attention_mask=mask,
        past_key_values=cache,
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=stop_ids,
        pad_token_id=tokenizer.pad_token_id,
    )
    return tokenizer.batch_decode(output[:, token_ids.shape[1] :], skip_special_tokens=True)


@torch.inference_mode()
def stream(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    prefix: Prefix | None = None,
    max_new_tokens: int = 12,
) -> Iterator[str]:
    """Continue one prompt as `complete` does, and yield the text so far after each token.

    This is what `generate` does inside: read, take the likeliest token, read that, and so on.
    """
    token_ids, _, cache = _batch_after_prefix(model, tokenizer, [prompt], prefix)
    unread = token_ids[:, cache.get_seq_length() :]
    stop_ids, written = set(line_end_ids(tokenizer)), []
    for _ in range(max_new_tokens):
        logits = model(unread, past_key_values=cache, logits_to_keep=1).logits
        unread = logits[:, -1].argmax(-1, keepdim=True)
        written.append(int(unread))
        yield tokenizer.decode(written, skip_special_tokens=True).split("\n")[0].strip()
        if written[-1] in stop_ids:
            return


def log_likelihoods(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    continuations: Sequence[Sequence[str]],
    prefix: Prefix | None = None,
    batch_size: int = 16,
    progress: str | None = None,
) -> list[np.ndarray]:
    """Natural logarithm of P(continuation | prefix + prompt), for each continuation of each prompt.

    prompts: n texts; continuations: for each prompt its m texts, each starting with the space that
    separates it from the prompt. Returns n arrays of shape (m,), each the sum over the tokens of
    the continuation. The prompt is read once, and all of its continuations start from there.
    """
    if len(prompts) != len(continuations):
        raise ValueError(f"{len(prompts)} prompts but {len(continuations)} lists of continuations")
    scores: list[np.ndarray] = [np.empty(0)] * len(prompts)
    copies = max((len(texts) for texts in continuations), default=1)
    most_tokens = TOKENS_SCORING // max(1, copies)
    for batch in _batches_by_length(tokenizer, prompts, batch_size, prefix, most_tokens, progress):
        options = [continuations[index] for index in batch.indices]
        for index, row in zip(
            batch.indices,
            _score_batch(model, tokenizer, batch.texts, options, prefix),
            strict=True,
        ):
            scores[index] = row
    return scores


@torch.inference_mode()
def _score_batch(model, tokenizer, prompts, options, prefix) -> list[np.ndarray]:
    if not any(options):
        return [np.empty(0, dtype=np.float32) for _ in prompts]
    token_ids, mask, cache = _batch_after_prefix(model, tokenizer, prompts, prefix)
    after_prompt = _read(model, token_ids, mask, cache).logits

    # One row per (prompt, option): the prompt's keys and values are repeated for its options.
    counts = torch.tensor([len(texts) for texts in options], device=model.device)
    rows = torch.repeat_interleave(torch.arange(len(prompts), device=model.device), counts)
    cache.batch_select_indices(rows)
    encoded = tokenizer(
        [text for texts in options for text in texts],
        padding=True,
        padding_side="right",
        return_tensors="pt",
        add_special_tokens=False,
    ).to(model.device)
    targets, target_mask = encoded.input_ids, encoded.attention_mask
    first = after_prompt[rows, -1:]
    if targets.shape[1] > 1:
        later = model(
            targets[:, :-1],
            attention_mask=torch.cat([mask[rows], target_mask[:, :-1]], dim=1),
            position_ids=mask[rows].sum(1, keepdim=True)
            + torch.arange(targets.shape[1] - 1, device=model.device),
            past_key_values=cache,
        )
        logits = torch.cat([first, later.logits], dim=1)
    else:
        logits = first
    # A few rows at once: in fp32 every token takes 200 kB, one number for each word it might be.
    parts = zip(logits.split(ROWS_OF_LOGITS), targets.split(ROWS_OF_LOGITS), strict=True)
    picked = torch.cat(
        [part.float().log_softmax(-1).gather(-1, ids.unsqueeze(-1)) for part, ids in parts]
    ).squeeze(-1)
    sums = (picked * target_mask).sum(1)
    return [part.cpu().numpy() for part in sums.split(counts.tolist())]


@dataclass(frozen=True)
class _Batch:
    indices: list[int]
    texts: list[str]


def _batches_by_length(
    tokenizer,
    prompts: Sequence[str],
    batch_size: int,
    prefix: Prefix | None,
    most_tokens: int,
    progress: str | None,
) -> Iterator[_Batch]:
    """Prompts of like length together, so that little is padded; the longest batch comes first.

    Prompts that begin with the same passage stay together, see `_batch_after_prefix`. A batch holds
    `batch_size` prompts or, where prefix and prompts are long, as many as stay within
    `most_tokens`.
    """
    if not prompts:
        return
    lengths = [len(ids) for ids in tokenizer(list(prompts), add_special_tokens=False).input_ids]
    passages = [before_question(prompt) for prompt in prompts]
    # By characters: it only has to bring like lengths together.
    order = sorted(
        range(len(prompts)),
        key=lambda index: (-len(passages[index]), passages[index], -lengths[index]),
    )
    with tqdm(total=len(prompts), desc=progress, unit="question", disable=progress is None) as bar:
        while order:
            longest = max(lengths[index] for index in order[:batch_size])
            tokens = longest + (0 if prefix is None else len(prefix))
            rows = max(1, min(batch_size, most_tokens // max(1, tokens)))
            indices, order = order[:rows], order[rows:]
            yield _Batch(indices, [prompts[index] for index in indices])
            bar.update(len(indices))


@torch.inference_mode()
def _batch_after_prefix(model, tokenizer, prompts, prefix: Prefix | None):
    """Ids and mask of prefix + prompts, padded on the left, and the cache of what is read already.

    Read is the prefix and, where fewer passages than prompts stand before the questions, each
    passage, once; every prompt has a copy of their keys and values.
    """
    lead = "" if prefix is None else SEPARATOR
    rows = tokenizer(
        [lead + prompt for prompt in prompts],
        add_special_tokens=False,
        return_offsets_mapping=True,
    )
    heads = [before_question(prompt) for prompt in prompts]
    ends = [len(lead) + len(head) if head else 0 for head in heads]
    # Tokens may reach across the end of a passage; such a one belongs to the question.
    passages = [
        tuple(ids[: sum(stop <= end for _, stop in offsets)])
        for ids, offsets, end in zip(rows.input_ids, rows.offset_mapping, ends, strict=True)
    ]
    if prefix is None:
        token_ids = torch.empty((1, 0), dtype=torch.long, device=model.device)
        cache = DynamicCache(config=model.config)
    else:
        token_ids, cache = prefix.token_ids, copy.deepcopy(prefix.cache)
    mask = torch.ones_like(token_ids)

    different = sorted(set(passages))
    if all(passages) and len(different) < len(prompts):
        token_ids, mask = _append(tokenizer, token_ids, mask, different)
        cache.batch_repeat_interleave(len(different))
        _read(model, token_ids, mask, cache)
        places = [different.index(passage) for passage in passages]
        copies = torch.tensor(places, device=model.device)
        cache.batch_select_indices(copies)
        token_ids, mask = token_ids[copies], mask[copies]
        rests = [ids[len(read) :] for ids, read in zip(rows.input_ids, passages, strict=True)]
    else:
        cache.batch_repeat_interleave(len(prompts))
        rests = rows.input_ids
    return *_append(tokenizer, token_ids, mask, rests), cache


def _append(tokenizer, token_ids, mask, rows: Sequence[Sequence[int]]):
    """Ids and mask, of one row for all or of one for each, continued by rows padded on the left."""
    rows = [list(row) for row in rows]
    padded = tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt")
    padded = padded.to(token_ids.device)
    token_ids = torch.cat([token_ids.expand(len(rows), -1), padded.input_ids], dim=1)
    return token_ids, torch.cat([mask.expand(len(rows), -1), padded.attention_mask], dim=1)


def _read(model, token_ids, mask, cache: DynamicCache):
    """Let the model read the tokens whose keys and values the cache hasn't got yet."""
    start = cache.get_seq_length()
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return model(
        token_ids[:, start:],
        attention_mask=mask,
        position_ids=positions[:, start:],
        past_key_values=cache,
        logits_to_keep=1,
    )


def line_end_ids(tokenizer) -> list[int]:
    """Ids of the tokens that end an answer: end of text, and every token with a line break."""
    newline = tokenizer.convert_ids_to_tokens(
        tokenizer("\n", add_special_tokens=False).input_ids[0]
    )
    ids = {index for token, index in tokenizer.get_vocab().items() if newline in token}
    return sorted(ids | {tokenizer.eos_token_id})
