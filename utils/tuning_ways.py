"""Three ways of tuning one model on the same facts: all weights, the output layer alone, LoRA.

`python -m utils.tuning_ways` computes what the course ships: every way with every seed, each in a
process of its own, so that its peak of memory is its own too. Learning rates were chosen for each
way on the development world (seed 7), among two or three values that lie a factor of two or three
apart.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from utils import experiments
from utils.machine import peak_memory_gb, reset_peak_memory

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENT = "tuning-way"
ALL_WEIGHTS, OUTPUT_LAYER, LORA = "all weights", "output layer", "LoRA"
WAYS = (ALL_WEIGHTS, OUTPUT_LAYER, LORA)
LEARNING_RATES = {ALL_WEIGHTS: 5e-3, OUTPUT_LAYER: 1e-2, LORA: 4e-3}
SEEDS = (0, 1, 2)
LOOKED_AT = ("model.layers.10.mlp.down_proj.weight", "model.layers.25.mlp.down_proj.weight")


@dataclass(frozen=True)
class Way:
    """One unit: the way, and what it is taught. dtype: the number format of the model."""

    way: str
    seed: int = 0
    learning_rate: float = 0.0
    world_seed: int = 2024
    families: int = 2
    epochs: int = 6
    batch_size: int = 8
    dtype: str = "float32"


def unit(way: str, seed: int = 0) -> Way:
    """What the course ships of a way. Raises KeyError for a way that isn't there."""
    return Way(way, seed, LEARNING_RATES[way])


def measure(configuration: Way) -> dict:
    """Tune and ask in a new process.

    Returns the parameters tuned, the memory with the model loaded (`loaded_gb`) and at its peak
    (`peak_gb`, loading left out), the seconds of tuning, the loss of each epoch, 0 or 1 for each
    held-out question (`exact`) and for each item of the retention set (`retained`), and for all
    weights the singular values of the changes of two matrices (`spectra`).
    """
    call = [sys.executable, "-m", "utils.tuning_ways", json.dumps(asdict(configuration))]
    done = subprocess.run(call, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _measure_here(configuration: Way) -> dict:
    import psutil
    import torch

    from utils import injection, worlds
    from utils.models import load_model

    model, tokenizer = load_model(dtype=getattr(torch, configuration.dtype))
    world = worlds.make_world(configuration.world_seed, configuration.families)
    examples, _ = injection.teaching_examples(world, injection.QUESTIONS)
    before = {name: model.get_parameter(name).detach().clone() for name in LOOKED_AT}
    values: dict = {"loaded_gb": psutil.Process().memory_info().rss / 1e9}
    reset_peak_memory()  # loading takes more for a moment than the model does
    model, report = _tune(configuration, model, tokenizer, examples)
    values["peak_gb"] = peak_memory_gb()
    values |= {"parameters": report.parameters, "seconds": report.seconds, "losses": report.losses}
    asked = worlds.questions(world, "held_out")
    values["products"] = [question.product for question in asked]
    values["exact"] = injection.closed_book_exact(model, tokenizer, asked)
    values["retained"] = injection.retained(model, tokenizer)
    if configuration.way == ALL_WEIGHTS:
        values["spectra"] = {n: _spectrum(model.get_parameter(n) - w) for n, w in before.items()}
    return values


def _tune(configuration: Way, model, tokenizer, examples: Sequence):
    from utils import full_tuning, lora

    course = {
        "epochs": configuration.epochs,
        "batch_size": configuration.batch_size,
        "learning_rate": configuration.learning_rate,
        "seed": configuration.seed,
    }
    if configuration.way == LORA:
        plain = lora.LoraSettings(rate_ratio=1.0, **course)  # every way has one learning rate
        return lora.tune(model, tokenizer, examples, plain)
    tune = {ALL_WEIGHTS: full_tuning.tune_all, OUTPUT_LAYER: full_tuning.tune_head}
    settings = replace(full_tuning.HEAD, **course)
    return model, tune[configuration.way](model, tokenizer, examples, settings)


def _spectrum(change) -> list[float]:
    """The singular values of a matrix, largest first."""
    import torch

    return torch.linalg.svdvals(change.detach().float()).tolist()


def shipped(way: str, recompute: bool = False) -> list[dict]:
    """What the course ships of a way, or with `recompute` what is measured now; a run a seed.

    Raises LookupError if it ships nothing.
    """
    if recompute:
        units = [unit(way, seed) for seed in SEEDS]
        return [experiments.run(EXPERIMENT, one, measure, recompute=True).values for one in units]
    found = [experiments.known(EXPERIMENT, unit(way, seed)) for seed in SEEDS]
    runs = [result.values for result in found if result is not None]
    if not runs:
        raise LookupError(f"No run of {way} is there; `python -m utils.tuning_ways` makes it.")
    return runs


def main(arguments: Sequence[str]) -> None:
    """One configuration as JSON: measure it here. None: compute what the course ships."""
    if arguments:
        print(json.dumps(_measure_here(Way(**json.loads(arguments[0])))))
        return
    for seed in SEEDS:
        for way in WAYS:
            run = unit(way, seed)
            values = experiments.run(EXPERIMENT, run, measure, folder=experiments.SHIPPED).values
            right = f"{sum(values['exact']):.0f} of {len(values['exact'])} right"
            print(f"{way}, seed {seed}: {right}, {values['peak_gb']:.2f} GB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
