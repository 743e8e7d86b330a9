"""The peak of memory is this process's own, and can be counted anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from utils.machine import peak_memory_gb

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = """
from utils.machine import peak_memory_gb, reset_peak_memory
start = peak_memory_gb()
block = bytearray(b"1") * 300_000_000
with_block = peak_memory_gb()
del block
freed = peak_memory_gb()
reset_peak_memory()
print(start, with_block, freed, peak_memory_gb())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can count anew")
def test_a_peak_stays_until_it_is_counted_anew():
    """The process that starts it holds much more; none of that counts."""
    ours = bytearray(b"1") * 500_000_000
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True
    )
    start, with_block, freed, anew = map(float, done.stdout.split())
    assert start < 0.2 and len(ours) == 500_000_000
    assert with_block > start + 0.29
    assert freed == pytest.approx(with_block, abs=0.01)
    assert anew < with_block - 0.25


@pytest.mark.parametrize("status", ["VmRSS:\t 9 kB\n", None])
def test_where_the_system_gives_no_peak_the_process_counts(status, tmp_path):
    path = tmp_path / "status"
    if status is not None:
        path.write_text(status)
    assert 0.01 < peak_memory_gb(path) < 100


def test_the_peak_is_in_gigabytes(tmp_path):
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t  2000000 kB\nVmRSS:\t 9 kB\n")
    assert peak_memory_gb(tmp_path / "status") == pytest.approx(2.048)
