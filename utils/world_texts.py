"""Cards, paraphrases and questions: the texts that speak about one product of a world.

Use them through `utils.worlds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from utils import world_words as words
from utils.world_names import model_names, shuffled, slug

if TYPE_CHECKING:
    from utils.worlds import Product, World

ATTRIBUTES = ("colour", "material", "town", "battery", "month")
FORMS = ("trained", "held_out", "reversed", "two_hop", "unanswerable")
UNKNOWN = "unknown"
OPTIONS = 4


@dataclass(frozen=True)
class Question:
    """A question; `product` names the product whose card holds the answer.

    `options` holds the answer and three values of siblings. An unanswerable question has the answer
    "unknown" and no options; its id says why: "not-on-card" (an attribute that no card mentions) or
    "no-such-model" (`product` is then a name that no product has).
    """

    id: str
    form: str
    product: str
    attribute: str
    text: str
    answer: str
    options: tuple[str, ...]


def by_family(products: Sequence[Product]) -> dict[str, list[Product]]:
    """Group products by their family word, in the order of the catalogue."""
    families: dict[str, list[Product]] = {}
    for product in products:
        families.setdefault(product.family, []).append(product)
    return families


def prose_card(product: Product) -> str:
    """Describe the product in a few sentences, as a catalogue does."""
    pattern = shuffled(words.CARDS, product.name, "card")[0]
    start = product.facts["material"].capitalize()
    return pattern.format(
        name=product.name, kind=product.kind, material_start=start, **product.facts
    )


def attribute_list(product: Product) -> str:
    """Describe the product as a heading and one line for each attribute."""
    lines = [f"- {words.LABELS[a]}: {product.facts[a]}" for a in ATTRIBUTES]
    return "\n".join([f"{product.name} {product.kind}", *lines])


def paraphrases(product: Product, attribute: str) -> list[str]:
    """State one fact in ten different ways.

    Raises:
        ValueError: there is no such attribute.
    """
    return _statements(words.PARAPHRASES, product, attribute)


def name_first(product: Product, attribute: str) -> list[str]:
    """State one fact in four ways that begin with the name and end with the value.

    Raises:
        ValueError: there is no such attribute.
    """
    return _statements(words.NAME_FIRST, product, attribute)


def _statements(
    patterns: dict[str, tuple[str, ...]], product: Product, attribute: str
) -> list[str]:
    if attribute not in ATTRIBUTES:
        raise ValueError(f"unknown attribute {attribute!r}; choose one of {', '.join(ATTRIBUTES)}")
    value = product.facts[attribute]
    return [pattern.format(name=product.name, value=value) for pattern in patterns[attribute]]


def questions(world: World, form: str) -> list[Question]:
    """Return all questions of one form, in the order of the products.

    For every fact "trained" has four questions, "held_out", "reversed" and "two_hop" have one each;
    "unanswerable" has two for every product, one of either kind.

    Raises:
        ValueError: there is no such form.
    """
    if form not in FORMS:
        raise ValueError(f"unknown form {form!r}; choose one of {', '.join(FORMS)}")
    found = []
    for family in by_family(world.products).values():
        for product in family:
            if form == "unanswerable":
                found += _unanswerable(world.seed, product, family)
                continue
            for attribute in ATTRIBUTES:
                found += _about_fact(world.seed, form, product, attribute, family)
    return found


def _about_fact(
    seed: int, form: str, product: Product, attribute: str, family: Sequence[Product]
) -> list[Question]:
    """Put the questions of one form about one fact."""
    value = product.facts[attribute]
    id = f"{form}/{slug(product.name)}/{attribute}"
    answer, others = value, [p.facts[attribute] for p in family if p is not product]
    if form == "trained":
        patterns = words.TRAINED[attribute]
        texts = {f"{id}/{i}": p.format(name=product.name) for i, p in enumerate(patterns, start=1)}
    elif form == "held_out":
        pattern = shuffled(words.HELD_OUT[attribute], seed, id)[0]
        texts = {id: pattern.format(name=product.name)}
    elif form == "reversed":
        texts = {id: words.REVERSED[attribute].format(family=product.family, value=value)}
        answer, others = product.name, [p.name for p in family if p is not product]
    else:
        bridge = shuffled([a for a in ATTRIBUTES if a != attribute], seed, id)[0]
        described = words.DESCRIPTIONS[bridge].format(
            family=product.family, value=product.facts[bridge]
        )
        texts = {f"{id}/by-{bridge}": words.TWO_HOP[attribute].format(name=described)}
    return [
        Question(
            id, form, product.name, attribute, text, answer, _options(seed, id, answer, others)
        )
        for id, text in texts.items()
    ]


def _options(seed: int, id: str, answer: str, others: Sequence[str]) -> tuple[str, ...]:
    """Return the answer and three of the other values, in an order given by the seed."""
    distractors = shuffled(others, seed, id, "distractors")[: OPTIONS - 1]
    return tuple(shuffled([answer, *distractors], seed, id, "options"))


def _unanswerable(seed: int, product: Product, family: Sequence[Product]) -> list[Question]:
    """Ask for an attribute that no card mentions, and about a model that does not exist."""
    position = family.index(product)
    ghost = model_names(seed, product.family, 2 * len(family))[len(family) + position]
    missing = shuffled(words.MISSING, seed, product.name, "missing")[0]
    asked = shuffled(ATTRIBUTES, seed, product.name, "asked")[0]
    cases = (
        ("not-on-card", product.name, missing, words.MISSING[missing]),
        ("no-such-model", ghost, asked, words.TRAINED[asked][0]),
    )
    return [
        Question(
            id=f"unanswerable/{reason}/{slug(name)}/{attribute}",
            form="unanswerable",
            product=name,
            attribute=attribute,
            text=pattern.format(name=name),
            answer=UNKNOWN,
            options=(),
        )
        for reason, name, attribute, pattern in cases
    ]
