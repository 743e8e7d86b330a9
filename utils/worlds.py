"""The fictional maker's catalogue on which the course measures.

No model can have read about these products, so every right answer was put there by us: outside,
in a passage, or inside, in the weights. A world follows from its seed alone, on every platform.

`python -m utils.worlds` writes the default world to `datasets/world/`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from utils import world_words as words
from utils.retention import RetentionItem, load_retention
from utils.world_names import family_words, model_names, shuffled, slug
from utils.world_texts import (
    ATTRIBUTES,
    FORMS,
    OPTIONS,
    Question,
    attribute_list,
    by_family,
    name_first,
    paraphrases,
    prose_card,
    questions,
)

__all__ = ["ATTRIBUTES", "FORMS", "Notice", "Product", "Question", "RetentionItem", "World"]
__all__ += ["apply_notices", "attribute_list", "load_retention", "load_world", "make_world"]
__all__ += ["model_names", "name_first", "paraphrases", "prose_card", "questions"]
__all__ += ["save_world", "world_files"]

CHANGED_SHARE = 0.1
_REMEDY = "write it again with save_world, or the course's own with `python -m utils.worlds`"
DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "datasets" / "world"


@dataclass(frozen=True)
class Product:
    """One product; `facts` maps each attribute to its value, a short answer such as "teal"."""

    name: str
    family: str
    kind: str
    facts: dict[str, str]


@dataclass(frozen=True)
class Notice:
    """The maker's announcement that one fact changes from `old` to `new`; `date` is ISO 8601."""

    date: str
    product: str
    attribute: str
    old: str
    new: str
    text: str


@dataclass(frozen=True)
class World:
    """A catalogue, and the notices that will change it."""

    seed: int
    products: tuple[Product, ...]
    notices: tuple[Notice, ...]


def make_world(seed: int = 2024, families: int = 12, siblings: int = 5) -> World:
    """Make a world of `families` x `siblings` products and notices for a tenth of its facts.

    Within a family each attribute has a different value for every product.

    Raises:
        ValueError: a number is out of range or not a whole number.
    """
    if not all(isinstance(number, int) for number in (seed, families, siblings)):
        raise ValueError("seed, families and siblings must be whole numbers")
    most_families = len(words.FIRST) * len(words.LAST)
    most_siblings = min(len(pool) for pool in words.VALUES.values()) - 2
    if not 1 <= families <= most_families:
        raise ValueError(f"families must be 1 to {most_families}, not {families}")
    if not OPTIONS <= siblings <= most_siblings:
        raise ValueError(
            f"siblings must be {OPTIONS} (a question has {OPTIONS} options) to {most_siblings} "
            f"(the values must differ within a family), not {siblings}"
        )
    kinds = shuffled(words.KINDS, seed, "kind")
    products = []
    for i, family in enumerate(family_words(seed, families)):
        values = {a: shuffled(words.VALUES[a], seed, family, a) for a in ATTRIBUTES}
        for j, name in enumerate(model_names(seed, family, siblings)):
            facts = {attribute: values[attribute][j] for attribute in ATTRIBUTES}
            products.append(Product(name, family, kinds[i % len(kinds)], facts))
    return World(seed, tuple(products), _make_notices(seed, products))


def _make_notices(seed: int, products: Sequence[Product]) -> tuple[Notice, ...]:
    """Change one fact in as many (family, attribute) pairs as make up a tenth of the facts.

    At most one change in each pair keeps the values of a family different afterwards.
    """
    families = by_family(products)
    pairs = shuffled([(f, a) for f in families for a in ATTRIBUTES], seed, "notices")
    notices = []
    for family, attribute in pairs[: round(CHANGED_SHARE * len(products) * len(ATTRIBUTES))]:
        label = (seed, "notice", family, attribute)
        product = families[family][shuffled(range(len(families[family])), *label)[0]]
        taken = {sibling.facts[attribute] for sibling in families[family]}
        old = product.facts[attribute]
        new = next(v for v in shuffled(words.VALUES[attribute], *label) if v not in taken)
        day = date(2025, 1, 1) + timedelta(days=shuffled(range(365), *label)[0])
        text = words.NOTICES[attribute].format(name=product.name, old=old, new=new)
        text = f"{family} bulletin, {day.isoformat()}. {text}"
        notices.append(Notice(day.isoformat(), product.name, attribute, old, new, text))
    return tuple(sorted(notices, key=lambda notice: (notice.date, notice.product)))


def apply_notices(world: World, notices: Iterable[Notice]) -> World:
    """Return the world as it is after the notices, which it then no longer lists.

    Raises:
        ValueError: a notice names an unknown product or attribute, or its old value is not the
            present one.
    """
    notices = sorted(notices, key=lambda notice: notice.date)
    facts = {product.name: dict(product.facts) for product in world.products}
    for notice in notices:
        if (present := facts.get(notice.product, {}).get(notice.attribute)) is None:
            raise ValueError(f"no product has the fact {notice.product!r}, {notice.attribute!r}")
        if present != notice.old:
            raise ValueError(
                f"{notice.product}: {notice.attribute} is {present!r}, not {notice.old!r}; "
                "was the notice applied before?"
            )
        facts[notice.product][notice.attribute] = notice.new
    products = tuple(replace(product, facts=facts[product.name]) for product in world.products)
    rest = tuple(notice for notice in world.notices if notice not in notices)
    return World(world.seed, products, rest)


def world_files(world: World) -> dict[str, str]:
    """Return the text of every file that `save_world` writes, by its path inside the folder."""
    files = {f"cards/{slug(p.name)}.md": prose_card(p) + "\n" for p in world.products}
    for number, notice in enumerate(world.notices, start=1):
        files[f"notices/{number:03d}-{notice.date}.md"] = notice.text + "\n"
    for form in FORMS:
        lines = [json.dumps(asdict(question)) for question in questions(world, form)]
        files[f"questions/{form}.jsonl"] = "".join(line + "\n" for line in lines)
    files["world.json"] = json.dumps(asdict(world), indent=1) + "\n"
    return files


def save_world(world: World, folder: Path | str = DEFAULT_FOLDER) -> None:
    """Write the world as `world.json` and, for reading, its cards, notices and questions.

    Files of the world that was there before are removed; files of your own stay.
    """
    folder = Path(folder)
    files = world_files(world)
    try:
        stale = world_files(load_world(folder)).keys() - files.keys()
    except (OSError, ValueError):
        stale = set()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(path, text)
    for name in stale:
        (folder / name).unlink(missing_ok=True)


def _write_whole(path: Path, text: str) -> None:
    """Write beside the file, then put the new one in its place: none is ever half there."""
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_bytes(text.encode("utf-8"))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_world(folder: Path | str | None = None) -> World:
    """Read the world that `save_world` wrote (default: the course's own).

    Raises:
        FileNotFoundError: there is no `world.json` in the folder.
        ValueError: the file is damaged.
    """
    path = Path(folder if folder is not None else DEFAULT_FOLDER) / "world.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"no world in {path.parent}; write one with save_world, "
            "or the course's own with `python -m utils.worlds`"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        products = tuple(Product(**entry) for entry in record["products"])
        notices = tuple(Notice(**entry) for entry in record["notices"])
        complete = products and all(set(product.facts) == set(ATTRIBUTES) for product in products)
        world = World(int(record["seed"]), products, notices)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}); {_REMEDY}") from error
    if not complete:
        raise ValueError(f"{path} is damaged (a product lacks facts); {_REMEDY}")
    return world


if __name__ == "__main__":
    save_world(make_world())
    print(f"wrote the default world to {DEFAULT_FOLDER}")
