"""Adapters as files: whole or not at all, equal to what was saved, checked before they are used."""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from tests.tiny import EXAMPLES, Letters, adapter_weights, logits, tiny_model
from utils import adapters
from utils.adapters import AdapterError, fingerprint, load_adapter, remove_adapter, save_adapter
from utils.lora import PROJECTIONS, LoraSettings, tune

SETTINGS = LoraSettings(rank=4, alpha=8, upper_layers=2, epochs=3, batch_size=2, seed=1)


@pytest.fixture(scope="module")
def tuned():
    """A tiny model with its adapter; tests leave it as they found it."""
    return tune(tiny_model(), Letters(), EXAMPLES, SETTINGS, progress=False)[0]


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

    monkeypatch.setattr(adapters, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_adapter(tuned, folder, notes={"old": False})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == (["adapter"] if there_before else [])


def test_a_folder_without_an_adapter_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no adapter"):
        load_adapter(tiny_model(), tmp_path)


# -- adapters that don't fit ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        tiny_model(seed=1),
        tiny_model(hidden_size=32),
        tiny_model(num_hidden_layers=3),
        tiny_model(intermediate_size=64),
    ],
    ids=["other weights", "other width", "fewer layers", "other inner width"],
)
def test_an_adapter_for_another_base_model_is_refused(tuned, tmp_path, other):
    tuned.peft_config["default"].base_model_name_or_path = "a/small-one"
    folder = save_adapter(tuned, tmp_path / "adapter")
    before = logits(other)
    with pytest.raises(AdapterError, match="was made for small-one, which is not the model here"):
        load_adapter(other, folder)
    assert torch.equal(logits(other), before) and not adapter_weights(other)


@pytest.mark.parametrize("fits", [True, False])
def test_an_adapter_from_elsewhere_is_judged_by_its_shapes(tuned, tmp_path, fits):
    """Plain peft leaves no fingerprint."""
    tuned.save_pretrained(tmp_path / "adapter")
    if fits:
        loaded = load_adapter(tiny_model(), tmp_path / "adapter")
        torch.testing.assert_close(logits(loaded), logits(tuned))
    else:
        with pytest.raises(AdapterError, match="not the model here"):
            load_adapter(tiny_model(hidden_size=32), tmp_path / "adapter")


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "empty", "no such format"])
def test_a_damaged_adapter_is_said_and_the_model_stays(tuned, tmp_path, name, damage):
    folder = save_adapter(tuned, tmp_path / "adapter")
    whole = (folder / name).read_bytes()
    damaged = {"cut": whole[: len(whole) // 2], "empty": b"", "no such format": b"hello" * 20}
    (folder / name).write_bytes(damaged[damage])
    model = tiny_model()
    before = logits(model)
    with pytest.raises(AdapterError, match="is damaged .*Take a whole copy, or tune again"):
        load_adapter(model, folder)
    assert torch.equal(logits(model), before) and not adapter_weights(model)


def test_the_fingerprint_tells_models_apart_but_not_number_formats():
    model = tiny_model().bfloat16()
    assert fingerprint(model) == fingerprint(model.float()) != fingerprint(tiny_model(seed=1))
    assert len(fingerprint(model)) == 16


# -- several at once -----------------------------------------------------------------------------


def test_two_adapters_are_swapped_and_taken_out(tuned, tmp_path):
    first = save_adapter(tuned, tmp_path / "first")
    other = tune(tiny_model(), Letters(), EXAMPLES[:2], SETTINGS, progress=False)[0]
    second = save_adapter(other, tmp_path / "second")
    both = load_adapter(tiny_model(), first, "first")
    alone = logits(both)
    assert load_adapter(both, second, "second") is both
    torch.testing.assert_close(logits(both), logits(other), atol=5e-3, rtol=5e-3)
    both.set_adapter("first")
    assert torch.equal(logits(both), alone)
    assert not torch.allclose(alone, logits(other), atol=5e-2)
    assert torch.equal(logits(remove_adapter(both)), logits(tiny_model()))


def test_a_damaged_second_adapter_leaves_the_first_at_work(tuned, tmp_path):
    folder = save_adapter(tuned, tmp_path / "adapter")
    model = load_adapter(tiny_model(), folder, "first")
    before = logits(model)
    weights = load_file(folder / "adapter_model.safetensors")
    wider = {name: torch.ones(99, 99) for name in weights}
    save_file(wider, folder / "adapter_model.safetensors")
    with pytest.raises(AdapterError, match="not the model here"):
        load_adapter(model, folder, "second")
    assert torch.equal(logits(model), before) and list(model.peft_config) == ["first"]
