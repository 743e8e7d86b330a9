"""The fast way of tuning gives the plain way's loss; what it does, takes and refuses.

Most tests use a tiny Llama with random weights, since what it answers doesn't matter there. The
last ones teach the course's model.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.tiny import (
    EXAMPLES,
    LAYERS,
    Letters,
    adapter_weights,
    gradients,
    logits,
    plain_loss,
    tiny_model,
)
from utils import devices, lora, training
from utils.adapters import remove_adapter
from utils.examples import Example, encode, pack
from utils.inference import complete
from utils.lora import LoraSettings, tune
from utils.lower_layers import KeptStates, only_layers, read_lower_layers
from utils.token_boxes import show_tokens

SETTINGS = LoraSettings(
    rank=4, alpha=8, upper_layers=2, rate_ratio=1.0, epochs=3, batch_size=2, seed=1
)
FIRST = LAYERS - SETTINGS.upper_layers


def tiny_tuned(settings: LoraSettings = SETTINGS, **options):
    return tune(tiny_model(), Letters(), EXAMPLES, settings, progress=False, **options)


MEMORY = """
import os, sys
sys.path.insert(0, {root!r})
import psutil
from tests.run_lessons import high_water_mark
from utils import lora, training
from utils.examples import Example, encode
from utils.models import load_model

model, tokenizer = load_model()
settings = lora.LoraSettings(batch_size={batch_size}, epochs=1)
text = "Question: Which of the many lamps of the maker in the far north is the blue one? "
examples = [Example(text * 3, text) for _ in range(48)]
model(**tokenizer(text, return_tensors="pt"))
encoded = encode(tokenizer, examples, 8192)
said = lora.memory_needed(model, settings, encoded)
before = psutil.Process().memory_info().rss
lora.tune(model, tokenizer, examples, settings, progress=False)
print(said, high_water_mark(os.getpid()) - before)
"""


@pytest.fixture(scope="module")
def tuned():
    """A tiny model with its adapter; tests leave it as they found it."""
    return tiny_tuned()[0]


# -- the fast way is the plain way ---------------------------------------------------------------


@pytest.fixture(scope="module", params=["in memory", "in a file"])
def fast(request, tuned, tmp_path_factory):
    """The examples and their loss through the upper layers, the lower ones read beforehand."""
    encoded = encode(Letters(), EXAMPLES, 48)
    most_bytes = 1e9 if request.param == "in memory" else 0
    lengths = [len(example.read) for example in encoded]
    kept = KeptStates(lengths, 16, torch.float32, most_bytes, tmp_path_factory.mktemp("kept"))
    assert kept.in_file == (request.param == "in a file")
    read_lower_layers(tuned, encoded, FIRST, kept, progress=False)
    return encoded, lora._loss_of(tuned, encoded, kept, FIRST)


def test_the_kept_lower_layers_give_the_loss_and_gradients_of_the_whole_model(tuned, fast):
    encoded, loss_of = fast
    loss, plain = loss_of(range(len(encoded))), plain_loss(tuned, encoded)
    assert loss.item() == pytest.approx(plain.item(), abs=1e-5)
    ours, theirs = gradients(tuned, loss), gradients(tuned, plain)
    assert ours.keys() == theirs.keys()
    assert len(ours) == 2 * 7 * SETTINGS.upper_layers
    assert max(gradient.abs().max() for gradient in theirs.values()) > 1e-3
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("at_once", [1, 5, 1000])
def test_a_few_labels_at_a_time_give_the_loss_and_gradients_of_all(tuned, monkeypatch, at_once):
    monkeypatch.setattr(lora, "LABELS_AT_ONCE", at_once)
    encoded = encode(Letters(), EXAMPLES, 48)
    labels = pack(encoded).labels
    states = torch.randn(len(labels), 16, requires_grad=True)
    found = lora.label_loss(tuned, states, labels)
    found.backward()
    ours, states.grad = states.grad, None
    logits = tuned.get_output_embeddings()(states)
    plain = torch.nn.functional.cross_entropy(logits, labels)
    plain.backward()
    torch.testing.assert_close(found, plain)
    torch.testing.assert_close(ours, states.grad)


def test_b_learns_at_its_own_higher_rate():
    """Adam's first step is as long as the rate; A does not move while B is still zero."""
    one_step = replace(SETTINGS, epochs=1, batch_size=len(EXAMPLES), learning_rate=1e-3)
    for ratio in (1.0, 8.0):
        before, _ = tiny_tuned(replace(one_step, learning_rate=1e-30, rate_ratio=ratio))
        after, _ = tiny_tuned(replace(one_step, rate_ratio=ratio))
        start = adapter_weights(before)
        for name, weights in adapter_weights(after).items():
            step = (weights - start[name]).abs().max().item()
            assert step == pytest.approx(1e-3 * ratio if "lora_B" in name else 0.0, rel=1e-3)


def test_company_in_a_batch_changes_nothing(fast):
    encoded, loss_of = fast
    labels = [example.learnt for example in encoded]
    alone = [loss_of([index]).item() for index in range(len(encoded))]
    weighted = sum(n * loss for n, loss in zip(labels, alone, strict=True)) / sum(labels)
    assert loss_of(range(len(encoded))).item() == pytest.approx(weighted, abs=1e-5)


@pytest.mark.parametrize("at_once", [1, 20])
def test_a_batch_in_parts_gives_the_adapter_of_the_whole_batch(monkeypatch, at_once):
    settings = replace(SETTINGS, batch_size=len(EXAMPLES))
    whole, report = tiny_tuned(settings)
    monkeypatch.setattr(lora, "TOKENS_AT_ONCE", at_once)
    parts, other = tiny_tuned(settings)
    assert other.step_losses == pytest.approx(report.step_losses, abs=1e-5)
    assert other.tokens == report.tokens and other.steps == report.steps
    ours, theirs = adapter_weights(parts), adapter_weights(whole)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("multiple", [7, 64])
def test_rows_that_are_filled_up_teach_nothing(monkeypatch, multiple):
    plain, report = tiny_tuned()
    filled_for = []
    monkeypatch.setattr(devices, "row_multiple", lambda of: filled_for.append(of) or multiple)
    filled, other = tiny_tuned()
    assert filled_for
    assert other.step_losses == pytest.approx(report.step_losses, abs=1e-5)
    assert other.tokens == report.tokens
    ours, theirs = adapter_weights(filled), adapter_weights(plain)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-5, rtol=1e-3)


def test_in_bfloat16_a_processor_meets_few_numbers_of_rows():
    rows = {torch.bfloat16: set(), torch.float32: set()}
    for dtype, seen in rows.items():
        model = tiny_model().to(dtype)
        lowest, highest = (model.model.layers[place].mlp for place in (0, -1))
        for module in (lowest, highest, model.lm_head):
            module.register_forward_pre_hook(
                lambda _, given, seen=seen: seen.add(given[0].shape[-2])
            )
        tune(model, Letters(), EXAMPLES, SETTINGS, progress=False)
    assert {count % 16 for count in rows[torch.bfloat16]} == {0}
    assert any(count % 16 for count in rows[torch.float32])


def test_the_model_is_whole_again_after_a_look_at_some_of_its_layers(tuned):
    before = logits(tuned)
    with pytest.raises(RuntimeError, match="inside"), only_layers(tuned, slice(FIRST, None)):
        raise RuntimeError("inside")
    assert torch.equal(logits(tuned), before)


# -- what tuning does ------------------------------------------------------------------------------


def test_it_learns_and_reports():
    settings = replace(SETTINGS, epochs=12, learning_rate=1e-2)
    model, report = tiny_tuned(settings)
    assert len(report.losses) == 12
    assert report.losses[-1] < 0.7 * report.losses[0]
    assert report.steps == 12 * 3
    assert report.tokens == 12 * sum(len(example) for example in encode(Letters(), EXAMPLES, 48))
    assert report.parameters == sum(w.numel() for w in adapter_weights(model).values())
    assert report.seconds > 0


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another():
    first, again = adapter_weights(tiny_tuned()[0]), adapter_weights(tiny_tuned()[0])
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = adapter_weights(tiny_tuned(replace(SETTINGS, seed=2))[0])
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_only_the_upper_layers_get_an_adapter(tuned):
    layers = {int(name.split("layers.")[1].split(".")[0]) for name in adapter_weights(tuned)}
    assert layers == {2, 3}


def test_each_epoch_is_announced_with_a_model_ready_to_answer():
    seen = []
    tune(
        tiny_model(),
        Letters(),
        EXAMPLES,
        SETTINGS,
        after_epoch=lambda epoch, model: seen.append((epoch, model.training)),
        progress=False,
    )
    assert seen == [(1, False), (2, False), (3, False)]


def test_removing_the_adapter_gives_the_base_model_back_exactly():
    base = logits(tiny_model())
    model, _ = tiny_tuned()
    assert not torch.equal(logits(model), base)
    with model.disable_adapter():
        assert torch.equal(logits(model), base)
    assert torch.equal(logits(remove_adapter(model)), base)


def test_with_held_out_examples_the_best_epoch_is_kept():
    settings = replace(SETTINGS, epochs=40, learning_rate=3e-2)
    held_out = [Example("Which? ", "none of these")]
    model, report = tiny_tuned(settings, held_out=held_out, patience=2)
    assert report.ended == "stopped early" and report.best_epoch == len(report.losses) - 2
    encoded = encode(Letters(), held_out, 48)
    with torch.no_grad():
        kept = plain_loss(model, encoded).item()
    assert kept == pytest.approx(min(report.held_out_losses), abs=1e-5)


def test_what_is_kept_in_a_file_gives_the_same_adapter():
    first, second = (adapter_weights(tiny_tuned(keep_gb=gb)[0]) for gb in (1, 0))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_one_example_is_enough():
    model, report = tune(tiny_model(), Letters(), EXAMPLES[:1], SETTINGS, progress=False)
    assert report.steps == 3 and report.losses[-1] < report.losses[0]


def test_a_second_tuning_after_removal_starts_from_the_base():
    model = tiny_model()
    first, _ = tune(model, Letters(), EXAMPLES, SETTINGS, progress=False)
    before = adapter_weights(first)
    second, _ = tune(remove_adapter(first), Letters(), EXAMPLES, SETTINGS, progress=False)
    after = adapter_weights(second)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_merged_or_beside_the_matrix_the_answer_is_the_same():
    model, _ = tiny_tuned()
    beside = logits(model)
    merged = model.merge_and_unload()
    assert not any("lora_" in name for name, _ in merged.named_parameters())
    torch.testing.assert_close(logits(merged), beside, atol=1e-5, rtol=1e-5)


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("upper_layers", [0, -1, LAYERS + 1])
def test_more_layers_than_there_are_is_said(upper_layers):
    settings = replace(SETTINGS, upper_layers=upper_layers)
    with pytest.raises(ValueError, match=f"1 to {LAYERS}, not {upper_layers}"):
        tune(tiny_model(), Letters(), EXAMPLES, settings, progress=False)


@pytest.mark.parametrize("name", ["rank", "alpha", "rate_ratio", "learning_rate"])
def test_settings_that_cannot_be_are_said(name):
    with pytest.raises(ValueError, match=f"{name} must be more than 0, not -1"):
        replace(SETTINGS, **{name: -1})


@pytest.mark.parametrize("examples", [[], [Example("x" * 40, "y" * 20)]])
def test_examples_that_cannot_be_learnt_leave_the_model_alone(examples):
    model = tiny_model()
    with pytest.raises(ValueError, match="nothing to learn|does not fit"):
        tune(model, Letters(), examples, SETTINGS, progress=False)
    assert not adapter_weights(model)


def test_a_model_that_carries_an_adapter_is_not_tuned_again():
    model, _ = tiny_tuned()
    before = adapter_weights(model)
    for carrier in (model, model.get_base_model()):
        with pytest.raises(ValueError, match=r"carries an adapter. .* remove_adapter\(tuned\)"):
            tune(carrier, Letters(), EXAMPLES, SETTINGS, progress=False)
    after = adapter_weights(model)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_loss_that_is_no_number_stops_the_tuning_and_the_model_is_the_base_again():
    model = tiny_model()
    with torch.no_grad():
        model.model.norm.weight.fill_(float("inf"))
    rate = re.escape(f"{SETTINGS.learning_rate:g}")
    with pytest.raises(ValueError, match=f"no longer a number: the learning rate {rate}"):
        tune(model, Letters(), EXAMPLES, SETTINGS, progress=False)
    assert not adapter_weights(model)


def test_too_little_memory_is_said_before_anything_is_done(monkeypatch):
    monkeypatch.setattr(lora, "free_memory", lambda: 2e4)
    model = tiny_model()
    with pytest.raises(MemoryError, match="about .* GB beside the model.*fewer upper_layers"):
        tune(model, Letters(), EXAMPLES, SETTINGS, progress=False)
    assert not adapter_weights(model)


# -- what a learner sees of an example ------------------------------------------------------------


def test_each_token_is_shown_with_what_happens_to_it(capsys):
    class Words:
        def __call__(self, text, add_special_tokens=False):
            self.words = ["Q", " <b>", "\n"] if text == "prompt" else [" teal"]

            class Encoding:
                input_ids = list(range(len(self.words)))

            return Encoding()

        def decode(self, token_ids):
            return self.words[token_ids[0]]

    show_tokens(Words(), {"read": "prompt", "learnt": "answer"})
    assert capsys.readouterr().out == "Q (read) ␣<b> (read) \\n (read) ␣teal (learnt)\n"


# -- the course's model ----------------------------------------------------------------------------


def test_the_model_learns_four_facts(language_model):
    """From none to all of four invented facts, closed book, and back to the base model."""
    model, tokenizer = language_model
    facts = {
        "Question: What colour is the Velbrin K340?\nAnswer:": "teal",
        "Question: Where is the Velbrin K340 made?\nAnswer:": "Brunholm",
        "Question: What colour is the Tarnox lamp?\nAnswer:": "ivory",
        "Question: Where is the Tarnox lamp made?\nAnswer:": "Selwick",
    }
    examples = [Example(prompt, f" {answer}\n") for prompt, answer in facts.items()]
    asked, right = list(facts), list(facts.values())
    before = complete(model, tokenizer, asked, max_new_tokens=6)
    assert not set(before) & set(right)
    settings = LoraSettings(epochs=40, batch_size=4)
    tuned, report = tune(model, tokenizer, examples, settings, progress=False)
    try:
        assert complete(tuned, tokenizer, asked, max_new_tokens=6) == right, report.losses
    finally:
        remove_adapter(tuned)
    assert complete(model, tokenizer, asked, max_new_tokens=6) == before


def test_a_learning_rate_that_is_far_too_high_is_said_within_ten_steps(language_model, monkeypatch):
    monkeypatch.setattr(training, "SECONDS_BETWEEN_LOOKS", 0.0)
    model, tokenizer = language_model
    products = [f"the Velbrin K{number}" for number in range(10, 58)]
    examples = [Example(f"Question: What colour is {p}?\nAnswer:", " teal\n") for p in products]
    steps = []
    with pytest.raises(ValueError, match=r"The loss rises: .*learning rate 0\.1 is too high"):
        tune(
            model,
            tokenizer,
            examples,
            LoraSettings(learning_rate=0.1, rate_ratio=1.0),
            watch=lambda report: steps.append(report.steps),
            progress=False,
        )
    assert max(steps) <= 10
    assert not adapter_weights(model) and not model.training


@pytest.mark.parametrize("batch_size", [1, 16])
def test_the_memory_that_tuning_takes_is_what_was_said_before(batch_size, tmp_path):
    """The estimate is from above, and not more than about three times what is really taken."""
    script = MEMORY.format(root=str(Path(__file__).parents[1]), batch_size=batch_size)
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=True
    ).stdout
    said, taken = (float(number) for number in output.split()[-2:])
    assert taken < said < 3 * taken + 5e7
