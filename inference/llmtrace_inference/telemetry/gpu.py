"""GPU counters by NVML at 1 Hz, under the conventions' `hw.*` names; nothing at all without a GPU."""

from __future__ import annotations

import contextlib
import importlib
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from llmtrace import semconv

from .request_record import Attributes

logger = logging.getLogger(__name__)

_READINGS_PER_GPU = 900
"""Readings kept per GPU: a quarter of an hour."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of one GPU. `energy_joules` counts since the driver was loaded."""

    at_ns: int
    utilization: float
    memory_used: int
    memory_total: int
    power_watts: float
    energy_joules: float
    celsius: float


@dataclass(frozen=True, slots=True)
class _Gpu:
    handle: Any
    labels: tuple[str, str, str, str, str]
    readings: deque[Reading]


class GpuSampler(Collector):
    """Reads every GPU once a second in a thread of its own; a Prometheus collector of the last readings.

    `nvml` is the pynvml module. `clock` is in nanoseconds and must be the one requests are measured by.
    """

    def __init__(self, nvml: Any, interval_seconds: float = 1.0) -> None:
        self._nvml = nvml
        self._interval = interval_seconds
        self._stop = threading.Event()
        driver = _text(nvml.nvmlSystemGetDriverVersion())
        self._gpus = [self._open(i, driver) for i in range(nvml.nvmlDeviceGetCount())]
        self._thread = threading.Thread(target=self._run, name="gpu-sampler", daemon=True)

    def _open(self, index: int, driver: str) -> _Gpu:
        handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
        name = _text(self._nvml.nvmlDeviceGetName(handle))
        labels = (_text(self._nvml.nvmlDeviceGetUUID(handle)), "gpu", name, "NVIDIA", driver)
        return _Gpu(handle, labels, deque(maxlen=_READINGS_PER_GPU))

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop reading. Safe to call twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2)
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()

    def _run(self) -> None:
        while True:
            for gpu in self._gpus:
                try:
                    gpu.readings.append(self._read(gpu.handle))
                except self._nvml.NVMLError as error:
                    logger.warning("GPU %s cannot be read: %s", gpu.labels[0], error)
            if self._stop.wait(self._interval):
                return

    def _read(self, handle: Any) -> Reading:
        nvml = self._nvml
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return Reading(
            at_ns=time.perf_counter_ns(),
            utilization=nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
            memory_used=int(memory.used),
            memory_total=int(memory.total),
            power_watts=nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
            energy_joules=nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000,
            celsius=float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        )

    def attributes(self, start_ns: int, end_ns: int, share_seconds: float) -> Attributes:
        """The first GPU over a request's window, and the request's share of it; {} before the first reading.

        `share_seconds`: each of its forward passes divided by the requests in it. The energy is that share
        of the mean power: an estimate, for no counter knows which request a watt is for.
        """
        readings = list(self._gpus[0].readings) if self._gpus else []
        if not readings:
            return {}
        inside = [r for r in readings if start_ns <= r.at_ns <= end_ns]
        # Most requests are shorter than the interval: then the nearest reading speaks for them.
        used = inside or [min(readings, key=lambda r: abs(r.at_ns - end_ns))]
        power = sum(r.power_watts for r in used) / len(used)
        return {
            semconv.INFERENCE_GPU_UTILIZATION: sum(r.utilization for r in used) / len(used),
            semconv.INFERENCE_GPU_MEMORY_USED: max(r.memory_used for r in used),
            semconv.INFERENCE_GPU_POWER: power,
            semconv.INFERENCE_GPU_SECONDS_ESTIMATE: share_seconds,
            semconv.INFERENCE_GPU_ENERGY_ESTIMATE: power * share_seconds,
        }

    def collect(self) -> Iterable[Metric]:
        names = ["hw_id", "hw_type", "hw_name", "hw_vendor", "hw_driver_version"]
        gauges = {
            "hw_gpu_utilization": "Share of time in which the GPU was busy, 0 to 1.",
            "hw_gpu_memory_usage_bytes": "GPU memory in use.",
            "hw_gpu_memory_limit_bytes": "GPU memory there is.",
            "hw_gpu_memory_utilization": "Share of the GPU's memory in use, 0 to 1.",
            "hw_power_watts": "Power drawn now.",
            "hw_temperature_celsius": "Temperature of the GPU.",
        }
        families = {name: GaugeMetricFamily(name, text, labels=names) for name, text in gauges.items()}
        energy = CounterMetricFamily("hw_energy_joules", "Energy since the driver was loaded.", labels=names)
        for gpu in self._gpus:
            if not gpu.readings:
                continue
            last = gpu.readings[-1]
            for name, value in zip(
                gauges,
                (
                    last.utilization,
                    last.memory_used,
                    last.memory_total,
                    last.memory_used / last.memory_total,
                    last.power_watts,
                    last.celsius,
                ),
                strict=True,
            ):
                families[name].add_metric(gpu.labels, value)
            energy.add_metric(gpu.labels, last.energy_joules)
        yield from families.values()
        yield energy


def open_sampler() -> GpuSampler | None:
    """A started sampler; None where there is no GPU, no driver or no pynvml."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        sampler = GpuSampler(nvml)
    except nvml.NVMLError as error:
        logger.debug("no GPU counters: %s", error)
        return None
    sampler.start()
    return sampler


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
