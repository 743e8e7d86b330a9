"""Answers that need no language model: rules, small talk, and a look into the catalogue.

Each is a table behind the call that every retriever has, ``search(queries, k)``. Its passage *is*
the answer, so nobody has to read it: a rule is retrieval without a reader. A hit's score is 1,
and where nothing fits there is no hit. The pipeline (`utils.rag`) asks its routes in their order
before it searches.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from utils.passages import Hit, Passage, rank_hits

# Words that may stand around a greeting without making it a question.
FILLERS = {"there", "you", "again", "so", "very", "much", "a", "lot", "all", "for", "it", "and"}
SMALL_TALK = {
    "Hello! Ask me about our products.": ("hello", "hi", "hey", "morning", "evening", "good"),
    "You're welcome.": ("thanks", "thank", "great", "perfect", "ok", "okay"),
    "Goodbye!": ("bye", "goodbye", "later", "see"),
}


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return re.findall(r"\w+", text.lower())


@dataclass(frozen=True)
class Rule:
    """A fixed answer for every question that contains all of `words`."""

    name: str
    words: tuple[str, ...]
    answer: str


class RuleRetriever:
    """A table of rules: the query is the question, the passage is the answer."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Keep the rules in their order. Raises ValueError for a rule without words."""
        for rule in rules:
            if not rule.words:
                raise ValueError(f"Rule {rule.name!r} has no words: it would catch every question.")
        self.rules = tuple(rules)

    def search(self, queries: Sequence[str], k: int = 1) -> list[list[Hit]]:
        """For each query the first k rules that match it; often none."""
        return [_first(self._matches(query), k) for query in queries]

    def _matches(self, query: str) -> list[Passage]:
        asked = set(words_of(query))
        fitting = [rule for rule in self.rules if {w.lower() for w in rule.words} <= asked]
        return [Passage(f"rule: {rule.name}", rule.answer) for rule in fitting]


class SmallTalk:
    """Answers greetings and thanks; "Hello, what colour is it?" is a question and passes."""

    def __init__(self, answers: Mapping[str, Sequence[str]] = SMALL_TALK) -> None:
        """Keep the answers, each with the words that call for it."""
        self.answers = dict(answers)

    def search(self, queries: Sequence[str], k: int = 1) -> list[list[Hit]]:
        """For each query the answers to it, if it is small talk from its first word to its last."""
        return [_first(self._matches(query), k) for query in queries]

    def _matches(self, query: str) -> list[Passage]:
        said = set(words_of(query)) - FILLERS
        known = {word for words in self.answers.values() for word in words}
        if not said or not said <= known:
            return []
        return [
            Passage(f"small talk: {answer}", answer)
            for answer, words in self.answers.items()
            if said & set(words)
        ]


class CatalogueLookup:
    """Answers from a table, where a question names one entry and asks for one of its fields."""

    def __init__(
        self,
        records: Mapping[str, Mapping[str, str]],
        field_words: Mapping[str, Sequence[str]],
    ) -> None:
        """Keep the table.

        records: for each entry's name its fields, such as {"K340": {"colour": "teal"}}.
        field_words: for each field the words that ask for it; one of them is enough. Raises
        ValueError for a field without words.
        """
        for field, words in field_words.items():
            if not words:
                raise ValueError(f"Field {field!r} has no words: no question could ask for it.")
        self.records = {name: dict(fields) for name, fields in records.items()}
        self.field_words = {field: set(words) for field, words in field_words.items()}
        # Longest first: "K340 Lite" must not be taken for "K340".
        names = sorted(self.records, key=len, reverse=True)
        either = "|".join(re.escape(name) for name in names) or r"(?!)"
        # Nor "K340 Max", which isn't there: no capitalised word may follow.
        self._name = re.compile(rf"(?<!\w)(?i:{either})(?!\w)(?! [A-Z])")
        self._entry = {name.lower(): name for name in names}

    def search(self, queries: Sequence[str], k: int = 1) -> list[list[Hit]]:
        """For each query the field of the entry; none where either is missing or not the only one.

        A hit's passage is the value, its id the entry's name and the field.
        """
        return [_first(self._matches(query), k) for query in queries]

    def _matches(self, query: str) -> list[Passage]:
        named = {self._entry[match.lower()] for match in self._name.findall(query)}
        asked = set(words_of(query))
        fields = [field for field, words in self.field_words.items() if words & asked]
        if len(named) != 1 or len(fields) != 1:
            return []  # two products, or two fields: let somebody read
        (name,), (field,) = named, fields
        value = self.records[name].get(field)
        return [] if value is None else [Passage(f"{name}, {field}", value, name)]


def _first(passages: Sequence[Passage], k: int) -> list[Hit]:
    return rank_hits(passages[:k], [1.0] * len(passages[:k]))
