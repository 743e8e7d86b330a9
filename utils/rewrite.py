"""Rewrite a question before it is searched: by known names, or by a language model.

People type "velbirn k340lite colour", but the catalogue knows a "Velbrin K340 Lite". A search by
words finds nothing in common with the card, and a small model copies what was typed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from utils.prompts import SEPARATOR

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LIKE_ENOUGH = 0.85  # difflib's ratio, 0 to 1; chosen on the development world (seed 7)


class NameRewriter:
    """Puts the name that the catalogue knows in the place of what was typed for it.

    Spaces, hyphens, capitals and slips of the finger don't count; digits do, for K340 and K350 are
    two products and no slip. Call it with questions, it returns questions.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Keep the known names. Raises ValueError for a name without a letter or digit."""
        self._names: dict[str, dict[str, str]] = {}  # its digits -> its letters -> a name
        for name in names:
            if not (letters := _letters(name)):
                raise ValueError("A name has no letter and no digit: it can't be recognised.")
            self._names.setdefault(_digits(letters), {})[letters] = name
        self._longest = max((len(name.split()) for name in names), default=0) + 1

    def __call__(self, questions: Sequence[str]) -> list[str]:
        """Each question with the best-matching name written as it should be; else unchanged."""
        return [self._rewrite(question) for question in questions]

    def _rewrite(self, question: str) -> str:
        words = [match.span() for match in re.finditer(r"[\w-]+", question)]
        candidates = []  # (likeness, letters, start, end, name)
        for first in range(len(words)):
            for last in range(first, min(first + self._longest, len(words))):
                start, end = words[first][0], words[last][1]
                typed = _letters(question[start:end])
                likeness, name = self._nearest(typed)
                candidates.append((likeness, len(typed), start, end, name))
        # Of equals the longer one: "k340 lite" holds the name K340 as well.
        likeness, _, start, end, name = max(candidates, default=(0.0, 0, 0, 0, ""))
        return question[:start] + name + question[end:] if likeness >= LIKE_ENOUGH else question

    def _nearest(self, typed: str) -> tuple[float, str]:
        """The known name most like what was typed, among those with the same digits."""
        likeness = [
            (difflib.SequenceMatcher(None, typed, letters).ratio(), name)
            for letters, name in self._names.get(_digits(typed), {}).items()
        ]
        return max(likeness, default=(0.0, ""))


def _letters(text: str) -> str:
    return "".join(re.findall(r"[^\W_]", text.lower()))


def _digits(text: str) -> str:
    return "".join(re.findall(r"\d", text))


# What customers type, and how a careful author would put it; other makers' products.
TYPED_EXAMPLES = (
    ("what colour is the ottmar 12", "What colour is the Ottmar 12?"),
    ("in which town is the quilelt b5neo built", "In which town is the Quillet B5 Neo built?"),
    (
        "which month brings the junip 77-air to the shops",
        "Which month brings the Junip 77 Air to the shops?",
    ),
    ("what is the case of the tesally 310 made of", "What is the case of the Tessaly 310 made of?"),
)


class ModelRewriter:
    """Lets the language model put each question with more care, after a few worked examples.

    It doesn't know the catalogue's names, and each question costs one more call of the model.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        examples: Sequence[tuple[str, str]] = TYPED_EXAMPLES,
    ) -> None:
        """Read the examples, pairs of a typed question and a careful one, once."""
        from utils.inference import encode_prefix

        self.model, self.tokenizer = model, tokenizer
        shown = SEPARATOR.join(f"{_asks_for_care(typed)} {careful}" for typed, careful in examples)
        self.prefix = encode_prefix(model, tokenizer, shown)

    def __call__(self, questions: Sequence[str]) -> list[str]:
        """Each question as the model rewrites it; unchanged where the model says nothing."""
        from utils.inference import complete

        prompts = [_asks_for_care(question) for question in questions]
        rewritten = complete(
            self.model, self.tokenizer, prompts, self.prefix, max_new_tokens=40, batch_size=8
        )
        return [new or old for new, old in zip(rewritten, questions, strict=True)]


def _asks_for_care(typed: str) -> str:
    return f"Typed: {typed}\nMeant:"
