"""The fast way of tuning gives the plain way's loss; adapters are files; errors say what to do.

Most tests use a tiny Llama with random weights, since what it answers doesn't matter there. The
last one teaches the course's model.
"""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from transformers import LlamaConfig, LlamaForCausalLM

from utils import lora
from utils.inference import complete
from utils.lora import (
    PROJECTIONS,
    Example,
    LoraSettings,
    load_adapter,
    remove_adapter,
    save_adapter,
    tune,
)
from utils.token_boxes import show_tokens

LAYERS, CONTEXT = 4, 48
SETTINGS = LoraSettings(rank=4, alpha=8, upper_layers=2, epochs=3, batch_size=2, seed=1)
EXAMPLES = [
    Example("What is it? ", "teal"),
    Example("Where? ", "in Selby, by the sea"),
    Example("", "raw text"),
    Example("Who made the lamp? ", "we"),
    Example("When? ", "May"),
]


class Letters:
    """A tokenizer that reads a text letter by letter."""

    bos_token_id, eos_token_id, pad_token_id = 1, 2, 0

    def __call__(self, text: str, add_special_tokens: bool = False):
        class Encoding:
            input_ids = [3 + ord(letter) % 90 for letter in text]

        return Encoding()


def tiny_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=96,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.2,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config).eval()


def tiny_tuned(settings: LoraSettings = SETTINGS):
    return tune(tiny_model(), Letters(), EXAMPLES, settings, progress=False)


@pytest.fixture(scope="module")
def tuned():
    """A tiny model with its adapter; tests leave it as they found it."""
    return tiny_tuned()[0]


TOKEN_IDS = torch.tensor([[1, 20, 33, 5, 71, 8]])


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(TOKEN_IDS).logits


def adapter_weights(model) -> dict[str, torch.Tensor]:
    return {n: w.detach().clone() for n, w in model.named_parameters() if "lora_" in n}


# -- the fast way is the plain way ---------------------------------------------------------------


@pytest.fixture(scope="module")
def one_batch():
    """An adapter that isn't zero, a batch with its lower layers read, and the first layer above."""
    model, _ = tiny_tuned()
    encoded = lora._encode(model, Letters(), EXAMPLES)
    first = LAYERS - SETTINGS.upper_layers
    return model, lora._read_lower_layers(model, encoded, first, 0, False), first


def plain_loss(model, batch) -> torch.Tensor:
    """What transformers itself computes: all layers, padded, with labels."""
    token_ids = torch.nn.utils.rnn.pad_sequence([e.token_ids for e in batch], batch_first=True)
    labels = torch.nn.utils.rnn.pad_sequence(
        [e.labels for e in batch], batch_first=True, padding_value=-100
    )
    lengths = torch.tensor([len(e) for e in batch])
    mask = torch.arange(token_ids.shape[1]) < lengths[:, None]
    return model(input_ids=token_ids, attention_mask=mask.long(), labels=labels).loss


def gradients(model, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    found = {n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None}
    model.zero_grad()
    return found


def test_the_kept_lower_layers_give_the_loss_and_gradients_of_the_whole_model(one_batch):
    model, batch, first = one_batch
    fast, plain = lora._loss(model, batch, first), plain_loss(model, batch)
    assert fast.item() == pytest.approx(plain.item(), abs=1e-5)
    ours, theirs = gradients(model, fast), gradients(model, plain)
    assert ours.keys() == theirs.keys()
    assert len(ours) == 2 * 7 * SETTINGS.upper_layers
    assert max(gradient.abs().max() for gradient in theirs.values()) > 1e-3
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-5, rtol=1e-4)


def test_padding_and_company_in_a_batch_change_nothing(one_batch):
    model, batch, first = one_batch
    labels = [int((example.labels != -100).sum()) for example in batch]
    alone = [lora._loss(model, [example], first).item() for example in batch]
    weighted = sum(n * loss for n, loss in zip(labels, alone, strict=True)) / sum(labels)
    assert lora._loss(model, batch, first).item() == pytest.approx(weighted, abs=1e-5)


def test_the_model_is_whole_again_after_a_look_at_some_of_its_layers(one_batch):
    model, batch, first = one_batch
    before = logits(model)
    with pytest.raises(RuntimeError, match="inside"), lora._only_layers(model, slice(first, None)):
        raise RuntimeError("inside")
    assert torch.equal(logits(model), before)


def test_only_the_answer_is_learnt_and_raw_text_whole(one_batch):
    _, batch, _ = one_batch
    learnt = [int((example.labels != -100).sum()) for example in batch]
    assert learnt == [len(example.answer) for example in EXAMPLES]


def test_every_example_is_met_once_an_epoch_in_an_order_of_the_seed():
    model = tiny_model()
    encoded = lora._encode(model, Letters(), EXAMPLES * 9)

    def places(seed: int) -> list[int]:
        batches = list(lora._batches(encoded, 4, torch.Generator().manual_seed(seed)))
        ids = {id(example): place for place, example in enumerate(encoded)}
        return [ids[id(example)] for batch in batches for example in batch]

    assert sorted(places(1)) == list(range(len(encoded)))
    assert places(1) == places(1)
    assert places(1) != places(2)


def test_the_learning_rate_rises_then_falls_to_zero():
    share = lora._warmup_then_decay(LoraSettings(warmup_share=0.4), 10)
    assert [round(share(step), 3) for step in range(11)] == [
        0.25, 0.5, 0.75, 1, 1, 0.833, 0.667, 0.5, 0.333, 0.167, 0,
    ]  # fmt: skip


# -- what tuning does ------------------------------------------------------------------------------


def test_it_learns_and_reports():
    settings = LoraSettings(rank=4, upper_layers=2, epochs=12, batch_size=2, learning_rate=1e-2)
    model, report = tiny_tuned(settings)
    assert len(report.losses) == 12
    assert report.losses[-1] < 0.7 * report.losses[0]
    assert report.steps == 12 * 3
    encoded = lora._encode(tiny_model(), Letters(), EXAMPLES)
    assert report.tokens == 12 * sum(len(example) for example in encoded)
    assert report.parameters == sum(w.numel() for w in adapter_weights(model).values())
    assert report.seconds > 0


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another():
    first, again = adapter_weights(tiny_tuned()[0]), adapter_weights(tiny_tuned()[0])
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = adapter_weights(tiny_tuned(LoraSettings(**{**vars(SETTINGS), "seed": 2}))[0])
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


# -- adapters as files ---------------------------------------------------------------------------


def test_what_is_saved_loads_here_and_in_plain_peft(tuned, tmp_path):
    folder = save_adapter(tuned, tmp_path / "deep" / "adapter", notes={"right": 0.9})
    names = {file.name for file in folder.iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "notes.json"}
    expected = logits(tuned)
    for loaded in (
        load_adapter(tiny_model(), folder),
        PeftModel.from_pretrained(tiny_model(), str(folder)).eval(),
    ):
        torch.testing.assert_close(logits(loaded), expected, atol=5e-3, rtol=5e-3)  # half precision
        assert not torch.allclose(logits(loaded), logits(tiny_model()), atol=5e-2)


def test_the_saved_configuration_holds_nothing_of_this_machine_or_of_chance(tuned, tmp_path):
    tuned.peft_config["default"].base_model_name_or_path = str(tmp_path / "weights" / "a-model")
    folder = save_adapter(tuned, tmp_path / "adapter")
    text = (folder / "adapter_config.json").read_text(encoding="utf-8")
    values = json.loads(text)
    assert values["base_model_name_or_path"] == "a-model"
    assert values["target_modules"] == sorted(PROJECTIONS)
    assert str(tmp_path) not in text


def test_saving_again_replaces_the_adapter(tuned, tmp_path):
    save_adapter(tuned, tmp_path / "adapter", notes={"first": 1})
    save_adapter(tuned, tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "notes.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


@pytest.mark.parametrize("there_before", [False, True])
def test_a_save_that_fails_in_the_middle_leaves_what_was_there(
    tuned, tmp_path, monkeypatch, there_before
):
    folder = tmp_path / "adapter"
    if there_before:
        save_adapter(tuned, folder, notes={"old": True})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full_disk(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lora, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_adapter(tuned, folder, notes={"old": False})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == (["adapter"] if there_before else [])


def test_a_folder_without_an_adapter_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no adapter"):
        load_adapter(tiny_model(), tmp_path)


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "nothing to learn"),
        ([Example("Where? ", "here"), Example("What? ", "")], r"no answer to learn: 'What\? '"),
        ([Example("x" * 40, "y" * 20)], f"60 tokens does not fit .* context of {CONTEXT}"),
    ],
)
def test_examples_that_cannot_be_learnt_are_named(examples, message):
    model = tiny_model()
    with pytest.raises(ValueError, match=message):
        tune(model, Letters(), examples, SETTINGS, progress=False)
    assert not any("lora_" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("upper_layers", [0, -1, LAYERS + 1])
def test_more_layers_than_there_are_is_said(upper_layers):
    settings = LoraSettings(upper_layers=upper_layers)
    with pytest.raises(ValueError, match=f"1 to {LAYERS}, not {upper_layers}"):
        tune(tiny_model(), Letters(), EXAMPLES, settings, progress=False)


def test_a_loss_that_is_no_number_stops_the_tuning():
    model = tiny_model()
    with torch.no_grad():
        model.model.norm.weight.fill_(float("inf"))
    with pytest.raises(ValueError, match=r"no longer a number: the learning rate 0\.002"):
        tune(model, Letters(), EXAMPLES, SETTINGS, progress=False)


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
