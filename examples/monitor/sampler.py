"""What the machine is doing, as one flat sample: psutil and arithmetic, no I/O of ours.

psutil counts since boot; a sample shows rates, so a `Probe` keeps the counters of its last reading.
What a machine cannot tell (a container without disk counters, say) is None, never 0.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypedDict

import psutil

TOP_PROCESSES = 8


class Process(TypedDict):
    """One row of the process table. `cpu_percent` is of one core, `memory` is resident bytes."""

    pid: int
    name: str
    cpu_percent: float
    memory: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading. Sizes are bytes, rates bytes per second, `at` is UTC."""

    at: datetime
    cpu_percent: float
    cpu_cores: list[float]
    memory_used: int
    memory_total: int
    swap_used: int
    swap_total: int
    disk_used: int
    disk_total: int
    disk_read_rate: float | None
    disk_write_rate: float | None
    network_received_rate: float | None
    network_sent_rate: float | None
    processes: list[Process]


class Probe:
    """Reads the machine. `read()` blocks for some milliseconds: call it on a thread, one call at a time.

    Args:
        disk: The path whose file system is shown.
    """

    def __init__(self, disk: str = "/") -> None:
        self._disk = disk
        self._clock = time.monotonic()
        self._counters = _counters()
        self._cpu_seconds = {key: seconds for key, seconds, _, _ in _processes()}
        psutil.cpu_percent(percpu=True)  # the first call has nothing to compare with

    def read(self) -> Sample:
        """What happened since the last call, or since the probe was made."""
        cores = psutil.cpu_percent(percpu=True)
        now, counters = time.monotonic(), _counters()
        elapsed = max(now - self._clock, 1e-6)
        rates = [_rate(old, new, elapsed) for old, new in zip(self._counters, counters, strict=True)]
        processes = self._top_processes(elapsed)
        self._clock, self._counters = now, counters
        memory, swap, disk = psutil.virtual_memory(), psutil.swap_memory(), psutil.disk_usage(self._disk)
        return Sample(
            at=datetime.now(UTC),
            cpu_percent=round(sum(cores) / len(cores), 1),
            cpu_cores=cores,
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            swap_used=swap.used,
            swap_total=swap.total,
            disk_used=disk.used,
            disk_total=disk.total,
            disk_read_rate=rates[0],
            disk_write_rate=rates[1],
            network_received_rate=rates[2],
            network_sent_rate=rates[3],
            processes=processes,
        )

    def _top_processes(self, elapsed: float) -> list[Process]:
        """The busiest processes since the last call; one that started since counts from its start."""
        seconds: dict[tuple[int, float], float] = {}
        rows: list[Process] = []
        for key, spent, name, memory in _processes():
            seconds[key] = spent
            share = max(spent - self._cpu_seconds.get(key, 0.0), 0.0) / elapsed
            rows.append(Process(pid=key[0], name=name, cpu_percent=round(100 * share, 1), memory=memory))
        self._cpu_seconds = seconds
        rows.sort(key=lambda row: (row["cpu_percent"], row["memory"]), reverse=True)
        return rows[:TOP_PROCESSES]


def _counters() -> list[int | None]:
    """Bytes since boot: disk read and written, network received and sent."""
    disk, network = psutil.disk_io_counters(), psutil.net_io_counters()
    return [
        disk.read_bytes if disk else None,
        disk.write_bytes if disk else None,
        network.bytes_recv if network else None,
        network.bytes_sent if network else None,
    ]


def _rate(old: int | None, new: int | None, elapsed: float) -> float | None:
    """None when unknown, also when a counter went back: the device was taken out or wrapped around."""
    if old is None or new is None or new < old:
        return None
    return round((new - old) / elapsed, 1)


def _processes() -> list[tuple[tuple[int, float], float, str, int]]:
    """Each process that may be read: (pid and start, since a pid is used again), CPU seconds, name, memory."""
    found = []
    for process in psutil.process_iter(["pid", "create_time", "cpu_times", "name", "memory_info"]):
        info = process.info
        times, memory = info["cpu_times"], info["memory_info"]
        if times is not None and memory is not None:
            key = (info["pid"], info["create_time"])
            found.append((key, times.user + times.system, info["name"] or "?", memory.rss))
    return found
