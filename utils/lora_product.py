"""A layer with a low-rank adapter, in as few steps as it takes.

`peft` computes W x and B A x in some ten small steps, each of which leaves something in memory for
the way back. Here both are one step with one way back, written out by hand: the learner's own
backpropagation, see `LoraProduct.backward`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import nn


class LoraProduct(torch.autograd.Function):
    """y = W x + b + s B A x, where W and b are frozen.

    Shapes: x (..., inputs), W (outputs, inputs), b (outputs,) or None, A (rank, inputs),
    B (outputs, rank); s is a number. A and B may be kept in a finer number format than x.
    """

    @staticmethod
    def forward(ctx, x, W, b, A, B, s: float) -> torch.Tensor:
        A, B = A.to(x.dtype), B.to(x.dtype)
        rows = x.reshape(-1, x.shape[-1])
        low = (rows @ A.T).mul_(s)  # (n, rank)
        y = nn.functional.linear(rows, W, b).addmm_(low, B.T)
        ctx.save_for_backward(rows, W, A, B, low)
        ctx.s, ctx.shape = s, x.shape
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx, dy):
        rows, W, A, B, low = ctx.saved_tensors
        dy = dy.reshape(-1, dy.shape[-1])
        low_dy = (dy @ B).mul_(ctx.s)  # (n, rank)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = (dy @ W).addmm_(low_dy, A).view(ctx.shape)
        dA = (low_dy.T @ rows).float()
        dB = (dy.T @ low).float()
        return dx, None, None, dA, dB, None


def adapted_layers(model: nn.Module) -> list[LoraLinear]:
    """The layers that carry an adapter; to look through all modules takes milliseconds."""
    return [module for module in model.modules() if isinstance(module, LoraLinear)]


@contextmanager
def short_products(layers: Sequence[LoraLinear]) -> Iterator[None]:
    """Each of the adapted layers computes a `LoraProduct`, for as long as the context lasts."""
    for layer in layers:
        layer.forward = functools.partial(_forward, layer)  # stands before the class's own
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(layer: LoraLinear, x: torch.Tensor) -> torch.Tensor:
    base, (name,) = layer.base_layer, layer.active_adapters
    A, B = layer.lora_A[name].weight, layer.lora_B[name].weight
    return LoraProduct.apply(x, base.weight, base.bias, A, B, layer.scaling[name])
