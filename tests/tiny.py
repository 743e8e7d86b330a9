"""A tiny language model with random weights, for tests in which its answers don't matter."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from utils.examples import Example

LAYERS, CONTEXT = 4, 48
EXAMPLES = [
    Example("What is it? ", "teal"),
    Example("Where? ", "in Selby, by the sea"),
    Example("", "raw text"),
    Example("Who made the lamp? ", "we"),
    Example("When? ", "May"),
]


class Letters:
    """A tokenizer that reads a text letter by letter."""

    bos_token_id, eos_token_id, pad_token_id = 1, 2, 0

    def __call__(self, text: str, add_special_tokens: bool = False):
        class Encoding:
            input_ids = [3 + ord(letter) % 90 for letter in text]

        return Encoding()


def tiny_model(seed: int = 0, **changes) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    settings = {
        "vocab_size": 96,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.2,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return LlamaForCausalLM(LlamaConfig(**settings | changes)).eval()


TOKEN_IDS = torch.tensor([[1, 20, 33, 5, 71, 8]])


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(TOKEN_IDS).logits


def adapter_weights(model) -> dict[str, torch.Tensor]:
    return {n: w.detach().clone() for n, w in model.named_parameters() if "lora_" in n}


def plain_loss(model, encoded) -> torch.Tensor:
    """What transformers itself computes: all layers, padded, with labels."""
    pad = torch.nn.utils.rnn.pad_sequence
    token_ids = pad([e.token_ids for e in encoded], batch_first=True)
    labels = pad([e.labels for e in encoded], batch_first=True, padding_value=-100)
    lengths = torch.tensor([len(e) for e in encoded])
    mask = torch.arange(token_ids.shape[1]) < lengths[:, None]
    return model(input_ids=token_ids, attention_mask=mask.long(), labels=labels).loss


def gradients(model, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    found = {n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None}
    model.zero_grad()
    return found
