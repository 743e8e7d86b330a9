"""Knowledge injection: what is taught, how it is asked, and the runs that come with the course."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from utils import experiments, injection, prompts, scoring, worlds
from utils.injection import (
    EXPOSURES,
    NAME_FIRST,
    PARAPHRASES,
    QUESTIONS,
    RAW_TEXT,
    TEACHINGS,
    Injection,
)
from utils.training import TuningReport

MOST_BYTES_PER_ADAPTER = 5_000_000
ASKED_AGAIN = 20
SHIPPED = {
    (teaching, seed): result
    for teaching in ("", *TEACHINGS)
    for seed in injection.SEEDS
    if (result := experiments.known("injection", Injection(teaching, seed), folder="no-such"))
}
TUNED = [(teaching, seed) for teaching, seed in SHIPPED if teaching and seed == injection.SEEDS[0]]


@pytest.fixture(scope="module")
def world():
    return worlds.load_world()


@pytest.fixture(scope="module")
def small_world():
    return worlds.make_world(seed=5, families=2, siblings=4)


def facts_of(world) -> list[tuple[str, str, str]]:
    return [(p.name, a, p.facts[a]) for p in world.products for a in worlds.ATTRIBUTES]


# -- what is taught ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("teaching", "count", "exposures"),
    [(RAW_TEXT, 60, 1), (PARAPHRASES, 3000, 10), (QUESTIONS, 1200, 4), (NAME_FIRST, 1500, 5)],
)
def test_each_teaching_has_its_number_of_examples(world, teaching, count, exposures):
    examples, counted = injection.teaching_examples(world, teaching)
    assert (len(examples), counted) == (count, exposures)


@pytest.mark.parametrize("teaching", TEACHINGS)
def test_every_fact_is_met_as_often_as_any_other_in_every_teaching(world, teaching, monkeypatch):
    """Counted in what `teach` really hands to the training, over all its epochs."""
    handed = {}

    def tune(model, tokenizer, examples, settings, after_epoch, progress):
        handed.update(examples=examples, settings=settings)
        return model, TuningReport()

    monkeypatch.setattr(injection.lora, "tune", tune)
    injection.teach(None, None, Injection(teaching, seed=2), progress=False)
    assert handed["settings"] == replace(
        injection.ARM_SETTINGS, epochs=handed["settings"].epochs, seed=2
    )
    # A product's name may begin a sibling's ("K340", "K340 Lite"): the longest name is meant.
    names = sorted((product.name for product in world.products), key=len, reverse=True)
    met: Counter[tuple[str, str]] = Counter()
    for example in handed["examples"]:
        text = example.prompt + example.answer
        name = next(name for name in names if name in text)
        # Without the name, so that no value is found in it.
        words = text.replace(name, "").lower()
        facts = next(product.facts for product in world.products if product.name == name)
        met.update((name, value) for value in facts.values() if value.lower() in words)
    times = {met[name, value] * handed["settings"].epochs for name, _, value in facts_of(world)}
    assert times == {EXPOSURES}


@pytest.mark.parametrize("teaching", TEACHINGS)
def test_no_phrasing_that_is_asked_later_is_taught(world, teaching):
    examples, _ = injection.teaching_examples(world, teaching)
    taught = "\n".join(example.prompt + example.answer for example in examples)
    asked = [q.text for form in ("held_out", "reversed") for q in worlds.questions(world, form)]
    assert not [text for text in asked if text in taught]


def test_a_question_is_taught_as_it_is_asked_and_without_its_answer_in_the_prompt(world):
    examples, _ = injection.teaching_examples(world, QUESTIONS)
    for example, question in zip(examples, worlds.questions(world, "trained"), strict=True):
        assert example.prompt == prompts.closed_book(question.text)
        assert example.answer == f" {question.answer}\n"
        assert question.answer.lower() not in example.prompt.lower().replace("answer:", "")


def test_a_sentence_begins_with_the_name_and_only_its_value_is_learnt(world):
    examples, _ = injection.teaching_examples(world, NAME_FIRST)
    for number, (name, _, value) in enumerate(facts_of(world)):
        four = examples[5 * number : 5 * number + 4]  # and a question
        assert len({example.prompt for example in four}) == 4
        assert all(example.prompt.startswith(f"The {name} ") for example in four)
        assert {example.answer for example in four} == {f" {value}"}


def test_beside_the_sentences_every_fact_is_asked_once_in_every_phrasing_equally(world):
    examples, _ = injection.teaching_examples(world, NAME_FIRST)
    asked = {q.text: q for q in worlds.questions(world, "trained")}
    prompts_of = {prompts.closed_book(text): question for text, question in asked.items()}
    found = [prompts_of[e.prompt] for e in examples if e.prompt in prompts_of]
    assert sorted((q.product, q.attribute) for q in found) == sorted(
        (name, attribute) for name, attribute, _ in facts_of(world)
    )
    assert set(Counter(question.id.split("/")[-1] for question in found).values()) == {75}


def test_the_lesson_begins_with_the_first_families(world):
    examples, _ = injection.teaching_examples(world, NAME_FIRST)
    (share,) = injection.lesson_run(0).settings.curriculum
    first, rest = examples[: round(share * len(examples))], examples[round(share * len(examples)) :]
    families = list(dict.fromkeys(product.family for product in world.products))
    for part, names in ((first, families[:3]), (rest, families[3:])):
        assert {family for e in part for family in families if family in e.prompt} == set(names)


def test_the_worked_examples_give_no_answer_of_the_catalogue_away(world):
    shown = prompts.closed_book_prefix() + prompts.open_book_prefix()
    assert not [product.name for product in world.products if product.name in shown]
    assert not [product.family for product in world.products if product.family in shown]


def test_plain_texts_are_learnt_whole(world):
    for teaching in (RAW_TEXT, PARAPHRASES):
        examples, _ = injection.teaching_examples(world, teaching)
        assert {example.prompt for example in examples} == {""}
        assert all(example.answer.endswith("\n") for example in examples)


def test_an_unknown_teaching_is_named(world):
    with pytest.raises(ValueError, match="'rumours'; there are raw text, .*, name first"):
        injection.teaching_examples(world, "rumours")


# -- how it is asked --------------------------------------------------------------------------


def log_likelihood(model, tokenizer, prompt: str, continuation: str) -> float:
    """One option by one plain forward pass: no batch, no padding, no kept beginning."""
    import torch

    given = tokenizer(prompt, add_special_tokens=False).input_ids
    added = tokenizer(continuation, add_special_tokens=False).input_ids
    with torch.inference_mode():
        output = model(torch.tensor([given + added]), logits_to_keep=len(added) + 1)
    log_probabilities = output.logits[0].float().log_softmax(-1)
    return sum(float(log_probabilities[i, token]) for i, token in enumerate(added))


def test_a_right_card_is_read_and_the_choice_is_that_of_each_option_alone(world, language_model):
    model, tokenizer = language_model
    asked = worlds.questions(world, "held_out")[3::77]
    cards = {product.name: worlds.attribute_list(product) for product in world.products}
    answers = injection.ask(model, tokenizer, asked, [cards[q.product] for q in asked])
    assert answers.ids == [question.id for question in asked]
    assert sum(answers.exact) >= 2
    expected = []
    for question in asked:
        prompt = prompts.open_book(cards[question.product], question.text)
        whole = prompts.open_book_prefix() + prompts.SEPARATOR + prompt
        scores = [log_likelihood(model, tokenizer, whole, f" {o}") for o in question.options]
        expected.append(float(question.options[int(np.argmax(scores))] == question.answer))
    assert answers.chosen == expected


def test_without_a_card_the_base_model_knows_nothing(world, language_model):
    asked = worlds.questions(world, "held_out")[::30]
    answers = injection.ask(*language_model, asked)
    assert sum(answers.exact) <= 1
    assert all(answers.texts)


def test_a_passage_for_each_question_is_needed(world, language_model):
    asked = worlds.questions(world, "held_out")[:3]
    with pytest.raises(ValueError, match="zip"):
        injection.ask(*language_model, asked, passages=["one card"])


def test_worked_examples_are_shown_only_where_wanted(world, monkeypatch):
    begun: list[str] = []
    monkeypatch.setattr(injection, "encode_prefix", lambda m, t, text: begun.append(text))
    monkeypatch.setattr(injection, "complete", lambda m, t, texts, *_, **__: [""] * len(texts))
    monkeypatch.setattr(
        injection, "log_likelihoods", lambda m, t, texts, options, *_, **__: [[0.0]] * len(texts)
    )
    asked = worlds.questions(world, "held_out")[:2]
    injection.ask(None, None, asked)
    injection.ask(None, None, asked, ["a card", "a card"])
    injection.ask(None, None, asked, worked_examples=False)
    assert begun == [prompts.closed_book_prefix(), prompts.open_book_prefix()]


def test_the_retriever_finds_the_right_card_for_most(world):
    asked = worlds.questions(world, "held_out")[::7]
    cards = {product.name: worlds.attribute_list(product) for product in world.products}
    found = injection.retrieve_cards(world, asked)
    right = [card == cards[q.product] for card, q in zip(found, asked, strict=True)]
    assert np.mean(right) >= 0.9


# -- one run ----------------------------------------------------------------------------------


@pytest.fixture
def faked_run(monkeypatch, tmp_path):
    """`inject` with the model's work left out; returns what was asked and saved."""
    seen = {"asked": [], "saved": []}

    def ask(model, tokenizer, questions, passages=None, worked_examples=True, progress=None):
        seen["asked"].append((questions[0].form, passages is not None, worked_examples))
        zeros = [0.0] * len(questions)
        return injection.Answers([q.id for q in questions], [""] * len(questions), zeros, zeros)

    monkeypatch.setattr(injection, "ADAPTERS", tmp_path)
    monkeypatch.setattr(injection, "ask", ask)
    monkeypatch.setattr(injection, "load_model", lambda: ("model", "tokenizer"))
    monkeypatch.setattr(injection, "retrieve_cards", lambda world, qs: ["card"] * len(qs))
    monkeypatch.setattr(injection, "retained", lambda *_: [1.0])
    monkeypatch.setattr(
        injection, "teach", lambda *_, **__: ("tuned", TuningReport([0.5], step_losses=[0.5] * 7))
    )
    monkeypatch.setattr(
        injection, "save_adapter", lambda model, folder, notes: seen["saved"].append(folder)
    )
    return seen


def test_a_run_of_the_base_model_asks_every_cell_and_keeps_no_adapter(faked_run):
    values = injection.inject(Injection("", families=2, siblings=4))
    assert len(values["closed book"]["ids"]) == 40
    assert values["retrieval"]["ids"] == values["closed book"]["ids"][::2]
    assert "tuning" not in values
    assert faked_run["saved"] == []
    assert ("held_out", False, True) in faked_run["asked"]


def test_a_run_with_a_teaching_keeps_its_adapter_and_report(faked_run, tmp_path):
    values = injection.inject(Injection(QUESTIONS, seed=0, families=2, siblings=4))
    assert values["tuning"]["steps"] == 7
    assert faked_run["saved"] == [tmp_path / "questions-seed0"]
    injection.inject(Injection(QUESTIONS, seed=3, families=2, siblings=4))
    assert len(faked_run["saved"]) == 1, "one adapter of each teaching is enough to ship"
    # Tuned on the form, it is asked closed book without examples, but is shown how cards are read.
    assert ("held_out", False, False) in faked_run["asked"]
    assert ("held_out", True, True) in faked_run["asked"]
    json.dumps(values)  # plain JSON, as a result must be


def test_scores_are_averaged_over_seeds_before_products_are_drawn():
    ids = ["held_out/a/town", "held_out/a/month", "held_out/b/town"]
    scores = injection.Scores(ids, [[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert scores.seeds == 2
    assert scores.products == ["a", "a", "b"]
    assert scores.means() == [1.0, 0.0, 0.5]
    interval = scores.interval()
    assert interval.estimate == pytest.approx(0.5)
    assert (interval.n, interval.clusters) == (3, 2)


def test_a_run_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr(experiments, "known", lambda *_: None)
    with pytest.raises(LookupError, match="No run of paraphrases is there"):
        injection.shipped_scores(PARAPHRASES, "closed book")


def test_the_command_computes_each_missing_run_once(monkeypatch, tmp_path, capsys):
    done = []
    exact = {"exact": [1.0, 0.0]}
    answered = {"closed book": exact, "held out": exact}

    def experiment(configuration, *_):
        done.append(configuration)
        return answered

    monkeypatch.setattr(experiments, "SHIPPED", tmp_path)
    monkeypatch.setattr(injection, "inject", experiment)
    monkeypatch.setattr(injection, "learning_curve", experiment)
    monkeypatch.setattr(injection, "load_model", lambda: (None, None))
    monkeypatch.setattr("sys.argv", ["injection"])
    injection.main()
    arms = [Injection(teaching, seed) for teaching in TEACHINGS for seed in injection.SEEDS]
    every = [Injection(""), *arms, *injection.curve_runs()]
    assert sorted(map(str, done)) == sorted(map(str, every))
    assert len(list(tmp_path.iterdir())) == len(done)
    assert "base, seed 0: 1 of 2 right, closed book" in capsys.readouterr().out

    monkeypatch.setattr("sys.argv", ["injection", "--run", QUESTIONS, "--seed", "1"])
    next(tmp_path.glob("learning-curve-*")).unlink()
    injection.main()
    assert len(done) == len(every)


def test_the_figure_shows_every_arm_and_says_which_are_absent():
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    from utils.arm_panels import arm_panels
    from utils.stats import Interval

    share = Interval(0.5, 0.4, 0.6, 10)
    ours = {(arm, way): share for arm in ("base", "new") for way in ("closed book", "retrieval")}
    theirs = {cell: share for cell in ours if cell[0] == "base"}
    figure = arm_panels(
        {"Ours": ours, "Theirs": theirs, "Others": theirs},
        ["base", "new"],
        title="Arms",
        xlabel="right (%)",
        chance=0.25,
        absent="not there",
    )
    shown = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title(loc="left") for ax in shown] == ["Ours", "Theirs", "Others"]
    assert [[text.get_text() for text in ax.texts] for ax in shown] == [
        [],
        ["not there"],
        ["not there"],
    ]
    assert [len(ax.containers) for ax in shown] == [4, 2, 2]
    plt.close(figure)


# -- what comes with the course ---------------------------------------------------------------


def test_the_course_ships_every_arm():
    tuned = {(teaching, seed) for teaching in TEACHINGS for seed in injection.SEEDS}
    assert {("", 0), *tuned} <= set(SHIPPED)


@pytest.mark.parametrize("run", injection.curve_runs(), ids=str)
def test_the_course_ships_every_learning_curve(run):
    assert experiments.known(injection.CURVE, run, folder="no-such")


@pytest.mark.parametrize("run", SHIPPED, ids=str)
def test_shipped_answers_are_scored_as_the_course_scores_them(world, run):
    values = SHIPPED[run].values
    held_out = worlds.questions(world, "held_out")
    known = {q.id: q for form in ("held_out", "reversed") for q in worlds.questions(world, form)}
    assert values["closed book"]["ids"] == [question.id for question in held_out]
    assert values["retrieval"]["ids"] == [question.id for question in held_out[::2]]
    for cell in ("closed book", "reversed", "retrieval"):
        answers = injection.Answers(**values[cell])
        rows = zip(answers.ids, answers.texts, strict=True)
        again = [scoring.exact_match(text, known[name].answer) for name, text in rows]
        assert answers.exact == again
        assert len(answers.chosen) == len(answers.ids)
        assert set(answers.chosen) <= {0.0, 1.0}
    if run[0]:
        tuning = values["tuning"]
        examples, exposures = injection.teaching_examples(world, run[0])
        assert len(tuning["losses"]) == max(1, EXPOSURES // exposures)
        assert tuning["losses"][-1] < tuning["losses"][0]


def test_the_goals_of_the_course_are_reached_on_the_default_world():
    """Set before the run: reading a card that was found, and knowing what was taught.

    The protocol's primary score is the forced choice; what is read must be written exactly too.
    """
    assert injection.shipped_scores("", "retrieval", "exact").interval().estimate >= 0.85
    assert injection.shipped_scores("", "retrieval", "chosen").interval().estimate >= 0.85
    for score in ("exact", "chosen"):
        tuned = injection.shipped_scores(QUESTIONS, "closed book", score).interval()
        assert tuned.estimate >= 0.60


@pytest.mark.parametrize("run", TUNED, ids=str)
def test_each_tuned_run_ships_its_adapter_below_five_megabytes(run):
    folder = injection.adapter_folder(Injection(*run))
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "notes.json"} <= files.keys()
    assert max(files.values()) < MOST_BYTES_PER_ADAPTER
    notes = json.loads((folder / "notes.json").read_text(encoding="utf-8"))
    assert notes["tuning"] == SHIPPED[run].values["tuning"]


@pytest.mark.slow
@pytest.mark.parametrize("run", [run for run in TUNED if run[1] == 0], ids=str)
def test_plain_peft_loads_the_adapter_and_it_answers_as_the_shipped_run_did(
    world, language_model, run
):
    from peft import PeftModel

    model, tokenizer = language_model
    kept = injection.Answers(**SHIPPED[run].values["closed book"])
    step = len(kept.ids) // ASKED_AGAIN
    asked = worlds.questions(world, "held_out")[::step]
    tuned = PeftModel.from_pretrained(model, str(injection.adapter_folder(Injection(*run))))
    try:
        shown = run[0] != QUESTIONS
        answers = injection.ask(tuned.eval(), tokenizer, asked, worked_examples=shown)
    finally:
        tuned.unload()
    same_text = [a == b for a, b in zip(answers.texts, kept.texts[::step], strict=True)]
    same_score = [a == b for a, b in zip(answers.exact, kept.exact[::step], strict=True)]
    # The adapter is shipped in half precision and machines round differently: a few may differ.
    # The texts tell this adapter from another even where hardly an answer is right.
    assert np.mean(same_score) >= 0.85
    assert np.mean(same_text) >= 0.7
