"""One way to run an experiment: a configuration goes in, a result with its provenance comes out.

A configuration is a frozen dataclass; its fields are all that the result depends on. A result is
kept under the hash of its configuration, so that what was computed once is read from then on: first
from `datasets/results/`, which comes with the course, then from the learner's own cache folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from utils.machine import peak_memory_gb
from utils.pinned import cache_folder

SHIPPED = Path(__file__).resolve().parent.parent / "datasets" / "results"
PACKAGES = ("torch", "transformers", "peft", "faiss-cpu", "numpy")


@dataclass(frozen=True)
class Result:
    """What an experiment found (`values`: plain JSON), and where, when and with what."""

    name: str
    configuration: dict
    values: dict
    provenance: dict


def configuration_hash(name: str, configuration) -> str:
    """Twelve hexadecimal digits that name this experiment with this configuration."""
    text = json.dumps([name, asdict(configuration)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def run(
    name: str,
    configuration,
    experiment: Callable[[object], dict],
    recompute: bool = False,
    folder: Path | None = None,
) -> Result:
    """The result of `experiment(configuration)`: read if it is known, else computed and kept.

    name: a short word for file names. recompute: compute even if it is known. folder: where a new
    result is kept; the learner's own cache folder if left out.
    """
    own = Path(folder) if folder is not None else cache_folder() / "results"
    if not recompute and (found := known(name, configuration, own)):
        return found
    start = time.perf_counter()
    values = experiment(configuration)
    result = Result(name, asdict(configuration), values, provenance(time.perf_counter() - start))
    path = own / _file_name(name, configuration)
    _write(path, result)
    return _read(path)  # as every later call will find it: JSON knows no tuples


def known(name: str, configuration, folder: Path | None = None) -> Result | None:
    """The result that came with the course or was computed before, or None. Computes nothing."""
    own = Path(folder) if folder is not None else cache_folder() / "results"
    for place in (SHIPPED, own):
        path = place / _file_name(name, configuration)
        if path.is_file():
            return _read(path)
    return None


def provenance(seconds: float) -> dict:
    """Machine, versions and date, with the seconds taken and the process's peak memory in GB."""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "seconds": round(seconds, 1),
        "peak_memory_gb": round(peak_memory_gb(), 2),
        "machine": _machine(),
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
    }


def _machine() -> str:
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{gpu}"


def _file_name(name: str, configuration) -> str:
    return f"{name}-{configuration_hash(name, configuration)}.json"


def _read(path: Path) -> Result:
    try:
        return Result(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is not a whole result ({error}). Delete it; the next run computes it again."
        ) from error


def _write(path: Path, result: Result) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)
