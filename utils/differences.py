"""Are two results equal, and if not, what is different, in words.

Numbers are equal within a tolerance; a list, a tuple and an array of the same values are equal; a
NaN equals only a NaN.
"""

from __future__ import annotations

import math
import numbers
import reprlib
import sys

import numpy as np

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 80
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _REPR.maxset = 8


def short(value: object) -> str:
    """The value as Python writes it, cut in the middle when it is long."""
    return _REPR.repr(_plain(value))


def difference(expected: object, got: object, tolerance: float = 1e-6) -> str | None:
    """None when the two are equal, else a sentence that says what was expected and what came.

    `tolerance`: the largest difference between two numbers, absolute and relative.
    """
    expected, got = _plain(expected), _plain(got)
    if kind(expected) != kind(got):
        return f"expected {kind(expected)}, {short(expected)}, but {kind(got)} came, {short(got)}."
    if isinstance(expected, numbers.Number):
        return _number_difference(expected, got, tolerance)
    if isinstance(expected, list | tuple):
        return _sequence_difference(expected, got, tolerance)
    if isinstance(expected, dict):
        return _dictionary_difference(expected, got, tolerance)
    if type(expected) is type(got) and _is_plain_object(got):
        return _dictionary_difference(vars(expected), vars(got), tolerance)
    try:
        equal = bool(expected == got)
    except Exception:  # an object that can't be compared is not equal
        equal = False
    return None if equal else f"expected {short(expected)}, but {short(got)} came."


def kind(value: object) -> str:
    """What sort of thing this is, in a learner's words."""
    if value is None:
        return "nothing (None)"
    for types, word in (
        (numbers.Number, "a number"),  # True and False count as 1 and 0
        (str, "a text"),
        (list | tuple, "a list"),
        (set | frozenset, "a set"),
        (dict, "a dictionary"),
    ):
        if isinstance(value, types):
            return word
    return "a function" if callable(value) else f"an object of type {type(value).__name__}"


def _plain(value: object) -> object:
    """Arrays, tensors and their single numbers as Python's own lists and numbers."""
    if hasattr(value, "detach"):  # a torch tensor, without importing torch for it
        value = value.detach().cpu()
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "detach"):
        return value.tolist()
    return value


def _is_plain_object(value: object) -> bool:
    """Whether only its attributes tell whether it equals another of its type."""
    return (
        type(value).__eq__ is object.__eq__ and hasattr(value, "__dict__") and not callable(value)
    )


def _number_difference(expected: complex, got: complex, tolerance: float) -> str | None:
    if isinstance(expected, complex) or isinstance(got, complex):
        equal = abs(expected - got) <= tolerance * max(1.0, abs(expected))
    elif _is_huge(expected) or _is_huge(got):
        equal = expected == got
    elif math.isnan(got) and not math.isnan(expected):
        return (
            f"expected {short(expected)}, but NaN (not a number) came. "
            "Look for 0 divided by 0, or a mean of nothing."
        )
    elif math.isnan(expected):
        equal = math.isnan(got)
    else:
        equal = math.isclose(expected, got, rel_tol=tolerance, abs_tol=tolerance)
    return None if equal else f"expected {short(expected)}, but {short(got)} came."


def _is_huge(number: float) -> bool:
    """Whether it is a whole number that no float can hold."""
    return isinstance(number, int) and number.bit_length() > sys.float_info.max_exp


def _sequence_difference(expected, got, tolerance: float) -> str | None:
    if len(expected) != len(got):
        return (
            f"expected {len(expected)} values, {short(expected)}, "
            f"but {len(got)} came, {short(got)}."
        )
    for place, (want, have) in enumerate(zip(expected, got, strict=True)):
        found = difference(want, have, tolerance)
        if found:
            return f"at position {place}: {found}"
    return None


def _dictionary_difference(expected: dict, got: dict, tolerance: float) -> str | None:
    missing = [key for key in expected if key not in got]
    extra = [key for key in got if key not in expected]
    if missing:
        return f"the key {short(missing[0])} is missing."
    if extra:
        return f"the key {short(extra[0])} should not be there."
    for key, want in expected.items():
        found = difference(want, got[key], tolerance)
        if found:
            return f"under the key {short(key)}: {found}"
    return None
