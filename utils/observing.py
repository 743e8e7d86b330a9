"""What an answer of an unusual kind does, as plain values that can be compared.

A grader runs these beside a stranger's answer, so nothing here says what would be right.
"""

from __future__ import annotations

from utils.differences import kind

ADAPTER = ("A", "B")


def layer(answer: object) -> dict:
    """What a layer with an adapter consists of, how it starts, and what it computes.

    Keys: "what", in words, if it is no layer; "shapes" of A and B, () for one that isn't there;
    "trained", the names; "zero", whether A and B are at the start; "computes", the outputs (2, 3,
    outputs) for a fixed input, with fixed numbers in A and B; "stops", the error in words.
    """
    import torch
    from torch import nn

    if not isinstance(answer, nn.Module):
        return {"what": kind(answer)}
    found = {name: getattr(answer, name, None) for name in ADAPTER}
    matrices = {name: m for name, m in found.items() if isinstance(m, nn.Parameter)}
    seen: dict = {
        "what": "",
        "shapes": {name: list(matrices[name].shape) if name in matrices else [] for name in found},
        "trained": sorted(name for name, m in answer.named_parameters() if m.requires_grad),
        "zero": {name: not m.detach().any() for name, m in matrices.items()},
        "computes": None,
        "stops": "",
    }
    if len(matrices) < len(ADAPTER) or any(m.ndim != 2 for m in matrices.values()):
        return seen
    torch.manual_seed(0)
    try:
        with torch.no_grad():
            for matrix in matrices.values():
                matrix.copy_(torch.randn(matrix.shape))
            seen["computes"] = answer(torch.randn(2, 3, matrices["A"].shape[1])).tolist()
    except Exception as error:
        seen["stops"] = f"{type(error).__name__}: {error}"
    return seen
