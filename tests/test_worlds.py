"""The fictional catalogue: the same everywhere, with one right answer to every question."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from utils import world_words as words
from utils import worlds
from utils.worlds import (
    ATTRIBUTES,
    FORMS,
    apply_notices,
    attribute_list,
    load_retention,
    load_world,
    make_world,
    model_names,
    name_first,
    paraphrases,
    prose_card,
    questions,
    save_world,
    world_files,
)

ROOT = Path(worlds.__file__).resolve().parent.parent
DIGEST = "e13b4a024fc3028a36ab3545ec59e447a70e1d3b9678702cd8f5be28084fca70"
PRINT_DIGEST = """
import hashlib, json
from utils.worlds import make_world, world_files
text = json.dumps(world_files(make_world()), sort_keys=True)
print(hashlib.sha256(text.encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def world():
    return make_world()


@pytest.fixture(scope="module")
def families(world):
    found = {}
    for product in world.products:
        found.setdefault(product.family, []).append(product)
    return found


@pytest.fixture(scope="module")
def by_name(world):
    return {product.name: product for product in world.products}


# The same world everywhere


def test_default_world_is_the_known_one(world):
    text = json.dumps(world_files(world), sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_world_does_not_depend_on_the_hash_seed(hash_seed):
    assert digest_from(sys.executable, PYTHONHASHSEED=hash_seed) == DIGEST


@pytest.mark.parametrize("minor", [10, 11, 12, 13])
def test_other_python_versions_make_the_same_world(minor):
    python = shutil.which(f"python3.{minor}")
    if python is None or subprocess.run([python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"no working python3.{minor} on the PATH")
    assert digest_from(python) == DIGEST


def digest_from(python: str, **environment: str) -> str:
    result = subprocess.run(
        [python, "-c", PRINT_DIGEST],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


def test_another_seed_makes_other_names_and_facts(world):
    other = make_world(seed=7)
    assert not {p.name for p in other.products} & {p.name for p in world.products}
    assert [p.facts for p in other.products] != [p.facts for p in world.products]


def test_worlds_needs_no_model_library():
    code = "import sys, utils.worlds; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


# Products


def test_default_world_has_its_size(world, families):
    assert len(world.products) == 60
    assert {len(siblings) for siblings in families.values()} == {5}
    assert len({product.kind for product in world.products}) == 12
    assert all(tuple(product.facts) == ATTRIBUTES for product in world.products)


def test_names_differ_and_look_alike_within_a_family(families):
    names = [product.name for siblings in families.values() for product in siblings]
    assert len({name.lower() for name in names}) == len(names)
    for family, siblings in families.items():
        for a, b in itertools.combinations(siblings, 2):
            assert a.name.split()[0] == b.name.split()[0] == family
            code, other = a.name.split()[1], b.name.split()[1]
            assert code[0] == other[0] and abs(int(code[1:]) - int(other[1:])) <= 10


def test_values_differ_within_a_family(families):
    for siblings in families.values():
        for attribute in ATTRIBUTES:
            assert len({product.facts[attribute] for product in siblings}) == len(siblings)


def test_values_recur_between_families(world, families):
    for attribute in ATTRIBUTES:
        counts = [product.facts[attribute] for product in world.products]
        assert len(set(counts)) < len(counts)
        assert len(set(counts)) >= 12


def test_pools_hold_enough_short_values_and_none_inside_another():
    for pool in words.VALUES.values():
        assert len(set(pool)) == len(pool) >= 12
        assert all(len(value.split()) <= 2 for value in pool)
    values = [value for pool in words.VALUES.values() for value in pool]
    for a, b in itertools.permutations(values, 2):
        assert not re.search(rf"\b{a}\b", b), (a, b)


def test_no_two_family_words_are_equal_in_the_largest_world():
    largest = make_world(families=400, siblings=4)
    assert len({product.name for product in largest.products}) == 1600


# Cards and paraphrases


def test_cards_hold_every_fact_and_start_with_the_name(world):
    for product in world.products:
        card = prose_card(product)
        assert card.startswith(product.name + " ")
        assert product.kind in card
        assert 2 <= card.count(". ") + 1 <= 4 and card.endswith(".")
        for value in product.facts.values():
            assert len(re.findall(rf"\b{value}\b", card, re.IGNORECASE)) == 1, (value, card)


def test_cards_are_not_one_form_letter(world):
    shapes = set()
    for product in world.products:
        shape = prose_card(product)
        for value in (product.name, product.kind, *product.facts.values()):
            shape = re.sub(rf"\b{value}\b", "_", shape, flags=re.IGNORECASE)
        shapes.add(shape)
    assert len(shapes) == len(words.CARDS) >= 8


def test_cards_mention_no_sibling(families):
    for siblings in families.values():
        for a, b in itertools.permutations(siblings, 2):
            if b.name not in a.name:
                assert b.name not in prose_card(a)
            assert not [v for v in b.facts.values() if re.search(rf"\b{v}\b", prose_card(a))]


def test_attribute_list_has_a_line_for_each_fact(world):
    for product in world.products:
        heading, *lines = attribute_list(product).splitlines()
        assert heading == f"{product.name} {product.kind}"
        assert [line.split(": ")[1] for line in lines] == list(product.facts.values())


def test_no_article_goes_wrong(world):
    texts = [text for text in world_files(world).values() if not text.startswith("{")]
    texts += [p for x in world.products for a in ATTRIBUTES for p in paraphrases(x, a)]
    for text in texts:
        assert not re.search(r"\b[Aa] [aeiouAEIOU]|\b[Aa]n [^aeiouAEIOU]", text), text


def test_ten_different_paraphrases_with_name_and_value(world):
    for product in world.products:
        for attribute in ATTRIBUTES:
            statements = paraphrases(product, attribute)
            assert len(set(statements)) == len(statements) == 10
            for statement in statements:
                assert product.name in statement and product.facts[attribute] in statement


def test_four_statements_begin_with_the_name_and_end_with_the_value(world):
    for product in world.products:
        for attribute in ATTRIBUTES:
            statements = name_first(product, attribute)
            assert len(set(statements)) == len(statements) == 4
            for statement in statements:
                assert statement.startswith(f"The {product.name} ")
                assert statement.endswith(f" {product.facts[attribute]}.")


# Questions


@pytest.mark.parametrize(
    ("form", "count"),
    [("trained", 1200), ("held_out", 300), ("reversed", 300), ("two_hop", 300)]
    + [("unanswerable", 120)],
)
def test_counts_ids_and_texts(world, form, count):
    found = questions(world, form)
    assert len(found) == count
    assert len({question.id for question in found}) == count
    assert len({question.text for question in found}) == count
    assert all(q.form == form and q.id.startswith(form + "/") for q in found)


@pytest.mark.parametrize("form", FORMS[:4])
def test_options_are_the_answer_and_three_of_its_siblings(world, families, by_name, form):
    for question in questions(world, form):
        product = by_name[question.product]
        siblings = families[product.family]
        if form == "reversed":
            allowed, answer = {p.name for p in siblings}, product.name
        else:
            allowed = {p.facts[question.attribute] for p in siblings}
            answer = product.facts[question.attribute]
        assert question.answer == answer
        assert question.options.count(answer) == 1
        assert len(set(question.options)) == len(question.options) == 4
        assert set(question.options) <= allowed


@pytest.mark.parametrize("form", FORMS[:4])
def test_the_right_option_has_no_favourite_place(world, form):
    places = [question.options.index(question.answer) for question in questions(world, form)]
    for place in range(4):
        assert 0.17 < places.count(place) / len(places) < 0.33


def test_held_out_phrasings_are_never_trained(world):
    trained = {normal(question.text) for question in questions(world, "trained")}
    assert not trained & {normal(question.text) for question in questions(world, "held_out")}
    for attribute in ATTRIBUTES:
        assert len(words.TRAINED[attribute]) == 4
        assert len(words.HELD_OUT[attribute]) >= 3
        used = [q.text.replace(q.product, "") for q in questions(world, "held_out")]
        assert len(set(used)) >= 3 * len(ATTRIBUTES)


def normal(text: str) -> str:
    return re.sub(r"\W+", " ", text).lower().strip()


def test_every_question_names_its_product(world):
    for form in ("trained", "held_out", "unanswerable"):
        assert all(question.product in question.text for question in questions(world, form))


def test_reversed_questions_have_one_answer_in_the_world(world):
    for question in questions(world, "reversed"):
        matches = [
            product.name
            for product in world.products
            if question.text
            == words.REVERSED[question.attribute].format(
                family=product.family, value=product.facts[question.attribute]
            )
        ]
        assert matches == [question.answer]
        assert question.answer not in question.text


def test_two_hop_questions_have_one_answer_in_the_world(world, by_name):
    for question in questions(world, "two_hop"):
        bridge = question.id.rsplit("/by-", 1)[1]
        assert bridge in ATTRIBUTES and bridge != question.attribute
        value = by_name[question.product].facts[bridge]
        assert re.search(rf"\b{value}\b", question.text)
        assert question.product not in question.text
        matches = [
            product
            for product in world.products
            if re.search(rf"\b{product.family}\b", question.text)
            and re.search(rf"\b{product.facts[bridge]}\b", question.text)
        ]
        assert [product.name for product in matches] == [question.product]
        assert matches[0].facts[question.attribute] == question.answer


def test_unanswerable_questions_cannot_be_answered(world, families, by_name):
    cards = [prose_card(p) + attribute_list(p) for p in world.products]
    reasons = {"not-on-card": 0, "no-such-model": 0}
    for question in questions(world, "unanswerable"):
        reason = question.id.split("/")[1]
        reasons[reason] += 1
        assert (question.answer, question.options) == ("unknown", ())
        if reason == "not-on-card":
            assert question.product in by_name
            assert question.attribute not in ATTRIBUTES
            assert not [card for card in cards if question.attribute in card.lower()]
        else:
            assert question.product not in by_name
            assert question.product.split()[0] in families
            assert not [card for card in cards if question.product in card]
    assert reasons == {"not-on-card": 60, "no-such-model": 60}


def test_model_names_that_do_not_exist_go_on_where_the_family_ends(families):
    for family, siblings in families.items():
        names = model_names(2024, family, 10)
        assert names[:5] == [product.name for product in siblings]
        assert len(set(names)) == 10


# Notices


def test_notices_change_a_tenth_of_the_facts(world, families, by_name):
    assert len(world.notices) == 30
    assert len({(n.product, n.attribute) for n in world.notices}) == 30
    assert [n.date for n in world.notices] == sorted(n.date for n in world.notices)
    for notice in world.notices:
        siblings = families[by_name[notice.product].family]
        assert re.fullmatch(r"2025-\d\d-\d\d", notice.date)
        assert notice.old == by_name[notice.product].facts[notice.attribute]
        assert notice.new not in {p.facts[notice.attribute] for p in siblings}
        assert all(x in notice.text for x in (notice.date, notice.product, notice.old, notice.new))


def test_applied_notices_change_those_facts_and_no_others(world):
    later = apply_notices(world, world.notices)
    changed = {
        (new.name, attribute): (old.facts[attribute], new.facts[attribute])
        for old, new in zip(world.products, later.products, strict=True)
        for attribute in ATTRIBUTES
        if old.facts[attribute] != new.facts[attribute]
    }
    assert changed == {(n.product, n.attribute): (n.old, n.new) for n in world.notices}
    assert later.notices == ()
    assert world == make_world()


def test_values_still_differ_within_a_family_after_the_notices(world):
    later = apply_notices(world, world.notices)
    for form in FORMS[:4]:
        for question in questions(later, form):
            assert len(set(question.options)) == 4 and question.answer in question.options


def test_questions_ask_for_the_new_value_in_the_same_words(world):
    later = apply_notices(world, world.notices[:1])
    notice = world.notices[0]
    before = {q.id: q for q in questions(world, "held_out")}
    differing = [q for q in questions(later, "held_out") if q.answer != before[q.id].answer]
    assert [(q.product, q.attribute, q.answer) for q in differing] == [
        (notice.product, notice.attribute, notice.new)
    ]
    assert differing[0].text == before[differing[0].id].text
    assert later.notices == world.notices[1:]


def test_notices_that_do_not_fit_are_refused(world):
    later = apply_notices(world, world.notices)
    with pytest.raises(ValueError, match="applied before"):
        apply_notices(later, world.notices[:1])
    with pytest.raises(ValueError, match="no product has the fact"):
        apply_notices(world, [replace(world.notices[0], product="Velbrin K1")])
    with pytest.raises(ValueError, match="no product has the fact"):
        apply_notices(world, [replace(world.notices[0], attribute="price")])


# Bad input


@pytest.mark.parametrize("families", [0, -1, 401, 2.5, "12"])
def test_impossible_number_of_families(families):
    with pytest.raises(ValueError, match="families"):
        make_world(families=families)


@pytest.mark.parametrize("siblings", [0, 3, 11, 100])
def test_impossible_number_of_siblings(siblings):
    with pytest.raises(ValueError, match="siblings must be 4 .* to 10 .* not"):
        make_world(siblings=siblings)


@pytest.mark.parametrize("siblings", [4, 10])
def test_smallest_and_largest_family(siblings):
    small = make_world(families=2, siblings=siblings)
    assert len(small.notices) == siblings
    assert {len(questions(small, form)) for form in FORMS} == {
        *(40 * siblings, 10 * siblings, 4 * siblings)
    }


def test_unknown_attribute_and_form(world):
    with pytest.raises(ValueError, match="unknown attribute 'price'; choose one of colour"):
        paraphrases(world.products[0], "price")
    with pytest.raises(ValueError, match="'price'"):
        name_first(world.products[0], "price")
    with pytest.raises(ValueError, match="unknown form 'spoken'; choose one of trained"):
        questions(world, "spoken")


# Files


def test_files_of_the_default_world_are_those_the_seed_makes(world):
    folder = worlds.DEFAULT_FOLDER
    expected = {name: text.encode() for name, text in world_files(world).items()}
    present = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    stale = [name for name in expected | present if expected.get(name) != present.get(name)]
    assert not stale, f"run `python -m utils.worlds`; not as generated: {', '.join(sorted(stale))}"


def test_default_world_is_loaded(world):
    assert load_world() == world


def test_saved_world_comes_back_whole(world, tmp_path):
    save_world(world, tmp_path / "new" / "world")
    assert load_world(tmp_path / "new" / "world") == world
    later = apply_notices(world, world.notices[:10])
    save_world(later, str(tmp_path / "later"))
    assert load_world(str(tmp_path / "later")) == later


def test_saved_questions_can_be_read(world, tmp_path):
    save_world(world, tmp_path)
    for form in FORMS:
        lines = (tmp_path / "questions" / f"{form}.jsonl").read_text("utf-8").splitlines()
        saved = [json.loads(line) for line in lines]
        assert saved == json.loads(json.dumps([asdict(q) for q in questions(world, form)]))


def test_saving_another_world_removes_the_old_cards_and_nothing_else(world, tmp_path):
    save_world(world, tmp_path)
    (tmp_path / "cards" / "mine.md").write_text("my own")
    other = make_world(seed=7, families=2)
    save_world(other, tmp_path)
    cards = {path.name for path in (tmp_path / "cards").iterdir()}
    assert len(cards) == 11 and "mine.md" in cards
    assert len(list((tmp_path / "notices").iterdir())) == len(other.notices)


def test_a_failed_write_keeps_the_old_file_whole(world, tmp_path, monkeypatch):
    save_world(world, tmp_path)
    before = (tmp_path / "world.json").read_bytes()

    def full_disk(source, target):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_world(make_world(seed=7), tmp_path)
    assert (tmp_path / "world.json").read_bytes() == before
    assert not list(tmp_path.rglob("*.part"))


def test_missing_world(tmp_path):
    with pytest.raises(FileNotFoundError, match="no world in .*python -m utils.worlds"):
        load_world(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"products"', '"goods"'),
        lambda text: text.replace('"kind"', '"sort"', 1),
        lambda text: text.replace('"colour"', '"color"', 1),
        lambda text: json.dumps({**json.loads(text), "products": []}),
    ],
)
def test_damaged_world(world, tmp_path, damage):
    text = world_files(world)["world.json"]
    (tmp_path / "world.json").write_text(damage(text), encoding="utf-8")
    with pytest.raises(ValueError, match="is damaged .* write it again"):
        load_world(tmp_path)


def test_data_card_counts_are_those_of_the_data(world, families):
    card = (ROOT / "datasets" / "README.md").read_text("utf-8")
    printed = dict(re.findall(r"^\| ([a-z_ ]+) \| (\d+) \|$", card, re.MULTILINE))
    retention = load_retention()
    counts = {
        "families": len(families),
        "products": len(world.products),
        "facts": sum(len(product.facts) for product in world.products),
        "notices": len(world.notices),
        "retention items": len(retention),
        "retention categories": len({item.category for item in retention}),
        **{f"{form} questions": len(questions(world, form)) for form in FORMS},
    }
    assert {name: int(number) for name, number in printed.items()} == counts


# The retention set


@pytest.fixture(scope="module")
def retention():
    return load_retention()


def test_retention_items_are_many_and_spread(retention):
    categories = [item.category for item in retention]
    assert len(retention) >= 150
    assert len(set(categories)) >= 10
    assert all(12 <= categories.count(category) <= 25 for category in categories)


def test_no_retention_item_occurs_twice(retention):
    for key in ("id", "question", "cloze"):
        assert len({normal(getattr(item, key)) for item in retention}) == len(retention), key


def test_retention_choices_hold_the_answer_once(retention):
    for item in retention:
        assert len(item.choices) == len({choice.lower() for choice in item.choices}) == 4
        assert item.choices.count(item.answer) == 1
        assert all(choice == choice.strip() and choice for choice in item.choices)


def test_retention_prompts_are_two_forms_that_do_not_give_the_answer_away(retention):
    for item in retention:
        assert item.question.endswith("?")
        assert item.cloze[-1] not in ".?! "
        assert normal(item.question) != normal(item.cloze)
        for prompt in (item.question, item.cloze):
            assert not re.search(rf"\b{re.escape(item.answer)}\b", prompt), item


def test_an_article_before_the_gap_suits_every_choice(retention):
    for item in retention:
        last = item.cloze.split()[-1]
        vowels = [choice[0].lower() in "aeiou" for choice in item.choices]
        if last == "a":
            assert not any(vowels), item
        if last == "an":
            assert all(vowels), item


def test_retention_answers_have_no_favourite_place(retention):
    places = [item.choices.index(item.answer) for item in retention]
    for place in range(4):
        assert 0.19 < places.count(place) / len(places) < 0.31


def test_retention_order_of_choices_is_fixed(retention):
    text = json.dumps([asdict(item) for item in retention], sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "80e1129f17394f64"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:-30], r"line 274: not JSON"),
        (lambda text: text.replace('"cloze"', '"close"', 1), "line 1: must have exactly the keys"),
        (lambda text: text.replace('"Lyon"', '"Paris"', 1), "line 1: needs one answer and three"),
    ],
)
def test_damaged_retention_set(tmp_path, damage, message):
    text = (ROOT / "datasets" / "retention" / "retention.jsonl").read_text("utf-8")
    (tmp_path / "items.jsonl").write_text(damage(text), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_retention(tmp_path / "items.jsonl")


def test_missing_retention_set(tmp_path):
    with pytest.raises(FileNotFoundError, match="restore it"):
        load_retention(tmp_path / "none.jsonl")
