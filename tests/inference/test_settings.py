"""Settings: bad ones stop the start with a sentence, and each says what it is for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from llmtrace import semconv
from llmtrace_inference.engine.interface import EngineStats
from llmtrace_inference.settings import InferenceSettings
from llmtrace_inference.telemetry.metrics import Metrics


def test_other_machines_only_with_keys() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.4", "example.org"):
        with pytest.raises(ValidationError, match="set at least one key, or listen on 127"):
            InferenceSettings(host=host)
        assert InferenceSettings(host=host, api_keys=(SecretStr("k"),)).host == host
    for host in ("127.0.0.1", "::1", "localhost", "127.3.2.1"):
        assert InferenceSettings(host=host).api_keys == ()


def test_defaults_must_fit_the_cache() -> None:
    with pytest.raises(ValidationError, match="raise num_blocks or lower it"):
        InferenceSettings(num_blocks=8, page_size=16, default_max_tokens=128)


def test_every_setting_is_described_and_secrets_stay_hidden() -> None:
    fields = InferenceSettings.model_fields
    assert all(len(f.description or "") > 15 for f in fields.values())
    representation = repr(InferenceSettings(api_keys=(SecretStr("hush"),), otlp_api_key=SecretStr("hush")))
    assert "hush" not in representation


def test_settings_and_app_import_without_torch() -> None:
    code = "import sys, llmtrace_inference.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_docs_name_every_attribute_and_metric() -> None:
    docs = (Path(__file__).parents[2] / "docs/inference.md").read_text()
    names = [value for name, value in vars(semconv).items() if name.startswith("INFERENCE_")]
    # What ends in a dot begins several names.
    attributes = [name.removeprefix(semconv.INFERENCE) for name in names if not name.endswith(".")]
    assert len(attributes) > 50
    assert [a for a in attributes if f"`{a}`" not in docs] == []
    registry = Metrics(lambda: {"m": EngineStats(0, 0, 0, 0, 0, True)}).registry
    names = [family.name for family in registry.collect()]
    assert [n for n in names if f"`{n}" not in docs] == []
