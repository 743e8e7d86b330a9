"""Where to compute, and in which number format: chosen for the machine at hand."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def choose_device() -> torch.device:
    """The fastest device here: an NVIDIA GPU (CUDA), Apple's GPU (MPS), or else the CPU."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


@functools.cache
def choose_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor computes in it and is clearly faster so, else float32.

    Half the bytes do not always mean half the time: a processor without bfloat16 instructions
    emulates them, several times slower. The measurement takes some tens of milliseconds and its
    result is kept until the process ends.
    """
    import torch

    if not _computes_in_bfloat16(device):
        return torch.float32
    seconds = {dtype: _matmul_seconds(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    faster = seconds[torch.bfloat16] < 0.8 * seconds[torch.float32]
    return torch.bfloat16 if faster else torch.float32


def rows_to_add(count: int, of: torch.Tensor | PreTrainedModel) -> int:
    """How many empty rows bring `count` rows of a product to a multiple of `row_multiple`."""
    return -count % row_multiple(of)


def row_multiple(of: torch.Tensor | PreTrainedModel) -> int:
    """How many rows the matrices of a product should be a multiple of, where lengths vary.

    On a processor each new number of rows costs a product in bfloat16 about a millisecond and half
    a megabyte: oneDNN, which computes it, writes machine code for every shape and keeps the last
    thousand. It takes 16 rows at a time anyway, so that filling them up costs next to nothing.
    https://uxlfoundation.github.io/oneDNN/dev_guide_primitive_cache.html
    """
    import torch

    return 16 if of.device.type == "cpu" and of.dtype == torch.bfloat16 else 1


def _computes_in_bfloat16(device: torch.device) -> bool:
    """Whether the processor has bfloat16 instructions (True where nobody can tell)."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "mps":
        return torch.backends.mps.is_macos_or_newer(14, 0)
    names = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
    found = [value for key, value in torch.cpu.get_capabilities().items() if key in names]
    return any(found) or not found


def _matmul_seconds(device: torch.device, dtype: torch.dtype, repeats: int = 5) -> float:
    """Seconds of one matrix product of the model's size: the best of `repeats`."""
    import torch

    tokens = torch.ones(256, 576, device=device, dtype=dtype)
    weight = torch.ones(1536, 576, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(repeats + 1):  # the first one also pays for what is set up once
        start = time.perf_counter()
        torch.nn.functional.linear(tokens, weight).sum().item()  # item() waits for a GPU
        best = min(best, time.perf_counter() - start)
    return best
