"""Tuning on a GPU: an NVIDIA (CUDA) or Apple one (MPS). Skipped where there is none.

The model is tiny and random: what is tested is that all tensors meet on one device, and that the
GPU's adapter is the processor's but for rounding.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.tiny import EXAMPLES, Letters, adapter_weights, logits, tiny_model
from utils.adapters import load_adapter, save_adapter
from utils.devices import choose_device, choose_dtype
from utils.full_tuning import ALL_WEIGHTS, HEAD, tune_all, tune_head
from utils.lora import LoraSettings, tune

DEVICE = choose_device()
SETTINGS = LoraSettings(
    rank=4, alpha=8, upper_layers=2, learning_rate=1e-4, epochs=3, batch_size=2, seed=1
)

pytestmark = pytest.mark.skipif(DEVICE.type == "cpu", reason="there is no GPU here")


def tuned_on(device: torch.device | str, **options):
    model = tiny_model().to(device)
    return tune(model, Letters(), EXAMPLES, SETTINGS, progress=False, **options)


def test_the_gpu_learns_what_the_processor_learns():
    here, report = tuned_on(DEVICE)
    there, expected = tuned_on("cpu")
    assert report.step_losses == pytest.approx(expected.step_losses, abs=1e-4)
    expected_weights = adapter_weights(there)
    for name, weights in adapter_weights(here).items():
        assert weights.device.type == DEVICE.type
        torch.testing.assert_close(weights.cpu(), expected_weights[name], atol=1e-4, rtol=1e-2)


def test_hidden_states_in_a_file_and_held_out_examples_work_there_too():
    _, in_memory = tuned_on(DEVICE, held_out=EXAMPLES[:2])
    _, in_file = tuned_on(DEVICE, held_out=EXAMPLES[:2], keep_gb=0.0)
    assert in_file.held_out_losses == pytest.approx(in_memory.held_out_losses, abs=1e-6)
    assert len(in_file.held_out_losses) == SETTINGS.epochs


def test_a_run_that_was_stopped_goes_on_there(tmp_path):
    _, alone = tuned_on(DEVICE)

    def stop(epoch: int, _) -> None:
        raise KeyboardInterrupt

    _, first = tuned_on(DEVICE, checkpoint=tmp_path / "run", after_epoch=stop)
    _, whole = tuned_on(DEVICE, checkpoint=tmp_path / "run")
    assert first.steps == alone.steps_an_epoch
    assert whole.step_losses == pytest.approx(alone.step_losses, abs=1e-5)


def test_an_adapter_made_there_loads_on_a_processor(tmp_path):
    tuned, _ = tuned_on(DEVICE)
    save_adapter(tuned, tmp_path / "adapter")
    loaded = load_adapter(tiny_model(), tmp_path / "adapter")
    there = logits(tuned.to("cpu"))
    # It is kept in half precision.
    torch.testing.assert_close(logits(loaded), there, atol=1e-2, rtol=1e-2)
    assert not torch.allclose(there, logits(tiny_model()), atol=0.1)


@pytest.mark.parametrize(("way", "rates"), [(tune_all, ALL_WEIGHTS), (tune_head, HEAD)])
def test_all_weights_and_the_output_layer_are_tuned_there(way, rates):
    settings = replace(rates, epochs=8, batch_size=2, learning_rate=2e-2)
    report = way(tiny_model().to(DEVICE), Letters(), EXAMPLES, settings, progress=False)
    assert report.losses[-1] < 0.9 * report.losses[0]


def test_a_model_in_the_number_format_chosen_for_it_is_tuned():
    dtype = choose_dtype(DEVICE)
    assert dtype in (torch.float32, torch.bfloat16)
    model = tiny_model().to(DEVICE, dtype)
    settings = replace(SETTINGS, epochs=8)
    tuned, report = tune(model, Letters(), EXAMPLES, settings, progress=False)
    assert report.losses[-1] < 0.9 * report.losses[0]
    assert {weights.dtype for weights in adapter_weights(tuned).values()} == {torch.float32}
