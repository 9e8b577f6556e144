"""GPU counters against a stand-in for NVML: there is no GPU where these tests run."""

from __future__ import annotations

import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest

from llmtrace_inference.engine.interface import ModelInfo
from llmtrace_inference.settings import InferenceSettings
from llmtrace_inference.telemetry.gpu import GpuSampler, open_sampler
from tests.inference.fakes import FakeEngine
from tests.inference.running import serving, wait_until


class _Nvml(ModuleType):
    """One GPU at 250 W, half busy."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        """What pynvml raises."""

    def __init__(self, missing: bool = False) -> None:
        super().__init__("pynvml")
        self.missing = missing
        self.reads = 0

    def nvmlInit(self) -> None:
        if self.missing:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlShutdown(self) -> None: ...

    def nvmlSystemGetDriverVersion(self) -> str:
        return "575.1"

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, _: Any) -> bytes:
        return b"Test GPU"

    def nvmlDeviceGetUUID(self, _: Any) -> str:
        return "GPU-1"

    def nvmlDeviceGetUtilizationRates(self, _: Any) -> Any:
        return SimpleNamespace(gpu=50, memory=10)

    def nvmlDeviceGetMemoryInfo(self, _: Any) -> Any:
        return SimpleNamespace(used=4 << 30, total=16 << 30)

    def nvmlDeviceGetPowerUsage(self, _: Any) -> int:
        self.reads += 1
        if self.reads == 2:
            raise self.NVMLError("GPU is lost")
        return 250_000

    def nvmlDeviceGetTotalEnergyConsumption(self, _: Any) -> int:
        return 9_000_000

    def nvmlDeviceGetTemperature(self, _: Any, which: int) -> int:
        return 61


def test_without_a_gpu_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _Nvml(missing=True))
    assert open_sampler() is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert open_sampler() is None
    with serving(InferenceSettings(models={"fake": "x"}), load=lambda *_: FakeEngine()) as running:
        assert "hw_" not in httpx.get(f"{running.url}/metrics").text


def test_readings_go_to_metrics_and_to_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _Nvml())
    info = ModelInfo("fake", "fake", "none", "Test GPU", "none", 0, 0x110000, 1000)
    with serving(InferenceSettings(models={"fake": "x"}), load=lambda *_: FakeEngine(info=info)) as running:
        answer = running.client.chat.completions.create(
            model="fake", messages=[{"role": "user", "content": "hi"}]
        )
        server, *_ = running.request_spans(answer.id)
        attributes: dict[str, Any] = dict(server.attributes or {})
        assert attributes["llmtrace.inference.gpu.utilization"] == 0.5
        assert attributes["llmtrace.inference.gpu.memory_used"] == 4 << 30
        assert attributes["llmtrace.inference.gpu.power"] == 250.0
        share = attributes["llmtrace.inference.gpu.seconds_estimate"]
        assert attributes["llmtrace.inference.gpu.energy_estimate"] == 250.0 * share
        metrics = httpx.get(f"{running.url}/metrics").text
        labels = 'hw_driver_version="575.1",hw_id="GPU-1",hw_name="Test GPU",hw_type="gpu",hw_vendor="NVIDIA"'
        for line in (
            f"hw_gpu_utilization{{{labels}}} 0.5",
            f"hw_gpu_memory_utilization{{{labels}}} 0.25",
            f"hw_power_watts{{{labels}}} 250.0",
            f"hw_energy_joules_total{{{labels}}} 9000.0",
            f"hw_temperature_celsius{{{labels}}} 61.0",
        ):
            assert line in metrics


def test_means_over_the_window_and_a_share_of_the_energy() -> None:
    sampler = GpuSampler(_Nvml(), interval_seconds=0.01)
    assert sampler.attributes(0, 1, 1.0) == {}
    sampler.start()
    began = time.perf_counter_ns()
    wait_until(lambda: len(sampler._gpus[0].readings) >= 4)  # one reading fails, and the rest go on
    sampler.close()
    attributes = sampler.attributes(began, time.perf_counter_ns(), 2.0)
    assert attributes["llmtrace.inference.gpu.energy_estimate"] == 500.0
