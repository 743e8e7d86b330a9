"""Three ways of tuning are measured alike, each in a process of its own; the course ships them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.tiny import tiny_model
from utils import tuning_ways
from utils.tuning_ways import ALL_WEIGHTS, LORA, OUTPUT_LAYER, SEEDS, WAYS, measure, shipped, unit


def test_a_way_is_measured_in_a_process_of_its_own():
    """One family, one epoch, on the course's model."""
    values = measure(replace(unit(LORA), families=1, epochs=1))
    assert len(values["exact"]) == len(values["products"]) == 25
    assert set(values["exact"]) <= {0.0, 1.0} and len(values["losses"]) == 1
    assert 0.3 < values["loaded_gb"] < values["peak_gb"] < 2
    assert values["parameters"] > 1e6 and values["seconds"] > 0
    assert "spectra" not in values


@pytest.mark.parametrize("way", WAYS)
def test_all_ways_do_the_same_around_the_tuning(monkeypatch, language_model, way):
    _, tokenizer = language_model
    shape = {"num_hidden_layers": 10, "max_position_embeddings": 512}
    model = tiny_model(vocab_size=len(tokenizer), **shape)
    places = tuple(f"model.layers.{layer}.mlp.down_proj.weight" for layer in (1, 8))
    monkeypatch.setattr(tuning_ways, "LOOKED_AT", places)
    monkeypatch.setattr("utils.models.load_model", lambda dtype: (model, tokenizer))
    values = tuning_ways._measure_here(replace(unit(way), families=1, epochs=2))
    assert len(values["losses"]) == 2 and values["losses"][1] < values["losses"][0]
    assert (way == ALL_WEIGHTS) == ("spectra" in values)
    if way == ALL_WEIGHTS:
        assert set(values["spectra"]) == set(places)
        for sizes in values["spectra"].values():
            assert len(sizes) == 16 and sizes[0] > 0 and sizes == sorted(sizes, reverse=True)


def test_a_spectrum_is_that_of_the_change():
    sizes = tuning_ways._spectrum(torch.diag(torch.tensor([1.0, 3.0, 2.0])))
    assert sizes == pytest.approx([3, 2, 1])


@pytest.mark.parametrize("way", WAYS)
def test_the_course_ships_every_seed_of_every_way(way):
    runs = shipped(way)
    assert len(runs) == len(SEEDS)
    for run in runs:
        assert len(run["exact"]) == len(run["products"]) == 50
        assert run["loaded_gb"] < run["peak_gb"] < 2
    assert len({run["parameters"] for run in runs}) == 1
    assert len({tuple(run["losses"]) for run in runs}) == len(SEEDS)  # the seeds differ


def test_the_output_layer_trains_more_numbers_than_lora_and_less_than_all():
    counts = {way: shipped(way)[0]["parameters"] for way in WAYS}
    assert counts[LORA] < counts[OUTPUT_LAYER] < counts[ALL_WEIGHTS]


def test_a_way_that_is_not_shipped_says_how_to_make_it(monkeypatch, tmp_path):
    monkeypatch.setattr("utils.experiments.SHIPPED", tmp_path)
    monkeypatch.setenv("INSIDE_OUTSIDE_CACHE", str(tmp_path))
    with pytest.raises(LookupError, match="No run of LoRA .* `python -m utils.tuning_ways`"):
        shipped(LORA)


def test_what_is_measured_anew_is_what_is_shown(monkeypatch, tmp_path):
    monkeypatch.setenv("INSIDE_OUTSIDE_CACHE", str(tmp_path))
    monkeypatch.setattr(tuning_ways, "measure", lambda run: {"way": run.way, "seed": run.seed})
    runs = shipped(OUTPUT_LAYER, recompute=True)
    assert runs == [{"way": OUTPUT_LAYER, "seed": seed} for seed in SEEDS]
