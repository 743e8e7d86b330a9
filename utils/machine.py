"""What this process may use of the machine: memory, cores and speed.

A container shows the whole machine's memory and cores but gives a share of them; the share stands
in the kernel's control groups (https://docs.kernel.org/admin-guide/cgroup-v2.html).
"""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # bytes: version 1 writes a huge number where there is no limit


def free_memory(cgroups: Path = CGROUPS) -> int | None:
    """Bytes that this process can still use, or None where the system does not tell."""
    free = _system_memory()
    for folder in _groups("memory", cgroups):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
        if limit is not None and limit < UNLIMITED and used is not None:
            left = limit - used + _droppable(folder)
            free = left if free is None else min(free, left)
    return free


def usable_cores(cgroups: Path = CGROUPS) -> float:
    """Cores that this process may use; not always a whole number in a container."""
    try:
        cores = float(len(os.sched_getaffinity(0)))
    except AttributeError:  # macOS and Windows
        cores = float(os.cpu_count() or 1)
    for folder in _groups("cpu", cgroups):
        quota, period = _quota(folder)
        if quota and period:
            cores = min(cores, quota / period)
    return cores


def matrix_speed(kind: torch.dtype, seconds: float = 0.2, size: int = 512) -> float:
    """Matrix products of `size` x `size` on the processor, in GFLOP/s: the best of several."""
    import torch

    left = torch.ones(size, size, dtype=kind)
    best, until = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < until:
        start = time.perf_counter()
        left @ left
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def _groups(controller: str, cgroups: Path) -> list[Path]:
    """Folders of this process's control group and those above it, in either version."""
    folders = []
    for line in _own_groups():
        _, names, path = line.split(":", 2)
        if names == "":
            top = cgroups
        elif controller in names.split(","):
            top = cgroups / controller
        else:
            continue
        # Inside a container the path may be the host's and not be there: the top one counts then.
        place = top / path.strip("/")
        folders += [
            folder for folder in (place, *place.parents) if top in (folder, *folder.parents)
        ]
    return [folder for folder in folders if folder.is_dir()]


def _own_groups() -> list[str]:
    """Lines "number:controllers:path" that the kernel gives for this process; none elsewhere."""
    try:
        return Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []


def _system_memory() -> int | None:
    try:
        import psutil
    except ImportError:
        return _kernel_memory()
    return psutil.virtual_memory().available


def _kernel_memory(path: Path = Path("/proc/meminfo")) -> int | None:
    """What the Linux kernel says is available, for a Python without psutil."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", path.read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _number(path: Path) -> int | None:
    """The whole number in a file; None where there is none, or "max"."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _droppable(folder: Path) -> int:
    """Bytes of files that are kept in memory but would be dropped at need."""
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    stat = dict(line.split(" ", 1) for line in lines)
    return int(stat.get("inactive_file", 0))


def _quota(folder: Path) -> tuple[int | None, int | None]:
    """Microseconds of processor time per period, and the period; None where not limited."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return (None, None) if quota == "max" else (int(quota), int(period))
    except (OSError, ValueError):
        quota = _number(folder / "cpu.cfs_quota_us")
        period = _number(folder / "cpu.cfs_period_us")
        return (quota if quota and quota > 0 else None), period


def reset_peak_memory() -> None:
    """Let `peak_memory_gb` count from here on; where the system can't do that, nothing happens."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def high_water_mark(status: Path) -> int:
    """The most resident memory that a process has had, in bytes; 0 where the system can't say.

    status: Linux's file about it, /proc/PID/status.
    """
    try:
        text = status.read_text(encoding="ascii", errors="replace")
    except OSError:  # not Linux, or the process has ended
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    return 1024 * int(found[1]) if found else 0


def peak_memory_gb(status: Path = Path("/proc/self/status")) -> float:
    """The most memory that this process has held so far, in GB (10^9 bytes)."""
    # What getrusage says on Linux begins with the memory of the process that started this one.
    if peak := high_water_mark(status):
        return peak / 1e9
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9
