"""How products get their names, and how a seed decides.

The naming scheme is here alone: change `family_words` or `model_names` and the whole world follows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from utils import world_words as words


def shuffled(items: Iterable, *label: object) -> list:
    """Return the items in an order that depends only on them and on the label.

    Sorting on SHA-256 digests gives the same order on every platform and Python version, which
    neither `hash` nor the shuffling of the standard library promises.
    """

    def digest(item: object) -> str:
        key = "/".join(str(part) for part in (*label, item))
        return hashlib.sha256(key.encode("utf-8")).hexdigest()

    return sorted(items, key=digest)


def slug(name: str) -> str:
    """Return the name as part of an id or a file name: "velbrin-k340-lite"."""
    return name.lower().replace(" ", "-")


def family_words(seed: int, count: int) -> list[str]:
    """Join syllables into `count` different words that share none as long as there are enough."""
    first = shuffled(words.FIRST, seed, "first")
    last = shuffled(words.LAST, seed, "last")
    size = len(first)
    return [first[i % size] + last[(i + i // size) % size] for i in range(count)]


def model_names(seed: int, family: str, count: int) -> list[str]:
    """Return the first `count` names of a family: "Velbrin K340", "Velbrin K340 Lite", ..."""
    letter = shuffled(words.CODE_LETTERS, seed, family, "letter")[0]
    number = shuffled(range(120, 900, 10), seed, family, "number")[0]
    endings = ("", *(f" {end}" for end in shuffled(words.CODE_ENDINGS, seed, family, "ending")[0]))
    return [
        f"{family} {letter}{number + 10 * (i // len(endings))}{endings[i % len(endings)]}"
        for i in range(count)
    ]
