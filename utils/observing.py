"""What an answer of an unusual kind does, as plain values that can be compared.

A grader runs these beside a stranger's answer, so nothing here says what would be right.
"""

from __future__ import annotations

from utils.differences import difference, kind

ADAPTER = ("A", "B")
LAYER_TOLERANCE = 1e-5


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


def tell_layers_apart(expected: dict, got: dict) -> str | None:
    """What differs between two layers as `layer` sees them: what is trained, start and work."""
    if got["what"]:
        return f"the layer must be a `torch.nn.Module`, but {got['what']} came."
    for name, shape in expected["shapes"].items():
        if not got["shapes"][name]:
            return f"the layer needs `self.{name}`, an `nn.Parameter`: that is what is trained."
        if got["shapes"][name] != shape:
            wanted = " x ".join(map(str, shape))
            return f"`{name}` has the shape {tuple(got['shapes'][name])}; it must be {wanted}."
    if got["trained"] != expected["trained"]:
        return f"trained are {', '.join(got['trained'])}; it must be A and B alone."
    for name, zero in expected["zero"].items():
        if got["zero"][name] != zero:
            return f"at the start `{name}` must {'be' if zero else 'not be'} all zeros."
    if got["stops"]:
        return f"asked for `layer(x)` it stops with {got['stops']}"
    return difference(expected["computes"], got["computes"], LAYER_TOLERANCE) and (
        "with the same A and B it computes something else than peft's layer does."
    )
