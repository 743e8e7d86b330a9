"""Number formats: tuning in float32 and in bfloat16, and which of them the course takes here.

`python -m tests.benchmarks.number_formats` teaches the workload of `tests.benchmarks.lora` for two
epochs in every way, in turns, and prints one JSON line last:

- `chosen`: the format that `utils.devices.choose_dtype` takes on this processor;
- `speedup_of_chosen`: the other format's time of a step / the chosen one's;
- `speedup_of_filling`: in bfloat16, the time of a step with rows as long as the batches happen to
  be / with rows that are filled up (`utils.devices.row_multiple`);
- `ms_a_step`, `peak_rss_gb`: of each way, the best of its turns, and the most of its process.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import nullcontext
from unittest.mock import patch

import torch

from tests.benchmarks import lora as benchmark
from utils import devices
from utils.lora import LoraSettings, tune
from utils.machine import peak_memory_gb
from utils.models import load_model

FLOAT32, BFLOAT16, UNFILLED = "float32", "bfloat16", "bfloat16, not filled up"
WAYS = (FLOAT32, BFLOAT16, UNFILLED)


def measure_here(way: str, settings: LoraSettings) -> dict:
    """Tune in this way: milliseconds of a step, the peak of memory, the last epoch's loss."""
    dtype = torch.float32 if way == FLOAT32 else torch.bfloat16
    model, tokenizer = load_model(dtype=dtype, device="cpu")
    examples, _ = benchmark.workload(benchmark.Run.families, benchmark.Run.world_seed)
    unfilled = patch.object(devices, "row_multiple", lambda of: 1)
    with unfilled if way == UNFILLED else nullcontext():
        _, report = tune(model, tokenizer, examples, settings, progress=False)
    return {
        "ms_a_step": 1000 * report.seconds / report.steps,
        "peak_rss_gb": peak_memory_gb(),
        "loss": report.losses[-1],
    }


def measure(way: str, epochs: int) -> dict:
    """`measure_here` in a process of its own."""
    arguments = ("--one", way, "--epochs", str(epochs))
    return benchmark.in_new_process("tests.benchmarks.number_formats", *arguments)


def summary(chosen: str, runs: dict[str, list[dict]]) -> dict:
    """What the JSON line holds."""
    took = {way: min(run["ms_a_step"] for run in some) for way, some in runs.items()}
    other = FLOAT32 if chosen == BFLOAT16 else BFLOAT16
    return {
        "chosen": chosen,
        "speedup_of_chosen": round(took[other] / took[chosen], 2),
        "speedup_of_filling": round(took[UNFILLED] / took[BFLOAT16], 2),
        "ms_a_step": {way: round(milliseconds, 1) for way, milliseconds in took.items()},
        "peak_rss_gb": {
            way: round(max(run["peak_rss_gb"] for run in some), 2) for way, some in runs.items()
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--one", choices=WAYS, help="measure this way here, once")
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure_here(options.one, LoraSettings(epochs=options.epochs))))
        return
    runs: dict[str, list[dict]] = {way: [] for way in WAYS}
    for turn in range(options.turns):
        for way in WAYS:
            runs[way].append(measure(way, options.epochs))
            print(f"{way}, turn {turn + 1}: {runs[way][-1]}", flush=True)
    chosen = str(devices.choose_dtype(torch.device("cpu"))).removeprefix("torch.")
    print(json.dumps(summary(chosen, runs)))


if __name__ == "__main__":
    main()
