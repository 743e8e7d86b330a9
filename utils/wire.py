"""Plain values as text: between a grader and a stranger's answer, and in the files of a class.

Only numbers, texts, lists, tuples, sets, dictionaries, arrays and tensors cross. Whatever else an
answer returns arrives as the name of its type: nothing is unpickled, nothing is executed.
"""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Callable, Sequence

import numpy as np

from utils.judging import Outcome

DEEPEST = 50  # levels of lists within lists
LARGEST_BITS = 13_000  # of a whole number; Python reads no more than 4,300 digits


class WireError(ValueError):
    """What came is no text of ours; the message says why."""


class Unknown:
    """Stands for a value that can't cross. Its class carries the name of the value's type."""


def pack(value: object) -> object:
    """The value as JSON has it: kinds that JSON lacks become {"kind": [...]}.

    Raises WireError for a value that is nested too deeply.
    """
    return _pack(value, 0)


def unpack(packed: object) -> object:
    """The value that was packed. Raises WireError for what `pack` can't have written."""
    if packed is None or isinstance(packed, bool | int | float | str):
        return packed
    if isinstance(packed, list):
        return [unpack(part) for part in packed]
    if isinstance(packed, dict) and len(packed) == 1:
        ((kind, content),) = packed.items()
        if kind in _UNPACK:
            try:
                return _UNPACK[kind](content)
            except WireError:
                raise
            except Exception as error:
                raise WireError(f"this is no {kind}") from error
    raise WireError("this is no value")


def pack_outcome(outcome: Outcome) -> dict:
    """What a call did, ready for JSON."""
    error = outcome.error
    return {
        "value": pack(outcome.value) if error is None else None,
        "error": None if error is None else type(error).__name__,
        "words": "" if error is None else _words(error),
        "changed": outcome.changed_inputs,
        "line": outcome.line,
    }


def unpack_outcome(packed: object) -> Outcome:
    """What a call did, from what `pack_outcome` wrote. Raises WireError."""
    wanted = {"value": object, "error": str | None, "words": str, "changed": bool, "line": str}
    if not isinstance(packed, dict) or packed.keys() != wanted.keys():
        raise WireError("this is no outcome")
    for name, kind in wanted.items():
        if not isinstance(packed[name], kind):
            raise WireError(f"this is no outcome: {name}")
    error = None if packed["error"] is None else _error(packed["error"], packed["words"])
    try:
        value = unpack(packed["value"])
    except RecursionError:
        raise WireError("it is nested too deeply") from None
    return Outcome(value, error, packed["changed"], packed["line"])


def read_json(text: str | bytes) -> object:
    """`json.loads` for a stranger's text. Raises WireError where it is not JSON, or too deep."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # too deep, or a number of too many digits
        raise WireError(f"this is no JSON: {type(error).__name__}") from error


def _pack(value: object, depth: int) -> object:
    if depth > DEEPEST:
        raise WireError(f"it is nested more than {DEEPEST} levels deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int) and int.bit_length(value) > LARGEST_BITS:
        raise WireError("a number has thousands of digits")
    for kind, plain in ((int, int.__int__), (float, float.__float__), (str, str.__str__)):
        if isinstance(value, kind):
            return plain(value)  # without what a class of a stranger's may have added
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, np.ndarray):
        # Its numbers are plain, so their depth is the array's and known to be small.
        return {"array": [str(value.dtype), list(value.shape), _flat(value)]}
    if isinstance(value, dict):
        pairs = [[_pack(key, depth + 1), _pack(v, depth + 1)] for key, v in dict.items(value)]
        return {"dict": pairs}
    if isinstance(value, list):
        return [_pack(part, depth + 1) for part in list.__iter__(value)]
    for kind in (tuple, set, frozenset):
        if isinstance(value, kind):
            return {kind.__name__: [_pack(part, depth + 1) for part in kind.__iter__(value)]}
    if _is_tensor(value):
        array = value.detach().cpu()
        dtype = str(array.dtype).removeprefix("torch.")
        return {"tensor": [dtype, list(array.shape), array.flatten().tolist()]}
    return {"function" if callable(value) else "unknown": type(value).__name__}


def _flat(array: np.ndarray) -> list:
    if array.dtype.kind not in "biuf":
        raise WireError(f"an array of {array.dtype} can't be handed in")
    return array.flatten().tolist()


def _is_tensor(value: object) -> bool:
    return type(value).__module__.split(".")[0] == "torch" and hasattr(value, "detach")


def _array(content: Sequence) -> np.ndarray:
    dtype, shape, numbers = content
    if not re.fullmatch(r"bool|u?int\d+|float\d+", dtype):
        raise WireError("this is no array")
    return np.array(numbers, dtype=dtype).reshape(shape)


def _tensor(content: Sequence) -> object:
    import torch

    dtype, shape, numbers = content
    if not re.fullmatch(r"bool|u?int\d+|b?float\d+", dtype):
        raise WireError("this is no tensor")
    return torch.tensor(numbers, dtype=getattr(torch, dtype)).reshape(shape)


def _stand_in(name: str, base: type) -> type:
    """A class with a stranger's name for it: at most 40 letters, so that a message stays one."""
    return type(re.sub(r"\W", "", name)[:40] or "unknown", (base,), {})


def _a_function(name: str) -> Callable:
    def function(*arguments):
        raise TypeError("This stands for a function that an answer returned.")

    return function


def _error(name: str, words: str) -> Exception:
    known = getattr(builtins, name, None)
    if not (isinstance(known, type) and issubclass(known, Exception | SystemExit)):
        known = _stand_in(name, Exception)
    if issubclass(known, UnicodeError):  # needs five arguments
        known = _stand_in(name, Exception)
    return known(words)


def _words(error: BaseException) -> str:
    try:
        # A KeyError quotes its only argument, and would quote it again over there.
        said = error.args[0] if isinstance(error, KeyError) and len(error.args) == 1 else error
        return str(said)[:500]
    except Exception:
        return ""


_UNPACK: dict[str, Callable] = {
    "complex": lambda content: complex(*content),
    "array": _array,
    "tensor": _tensor,
    "dict": lambda content: {unpack(key): unpack(value) for key, value in content},
    "tuple": lambda content: tuple(map(unpack, content)),
    "set": lambda content: set(map(unpack, content)),
    "frozenset": lambda content: frozenset(map(unpack, content)),
    "function": _a_function,
    "unknown": lambda name: _stand_in(name, Unknown)(),
}
