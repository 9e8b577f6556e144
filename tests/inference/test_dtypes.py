"""Weights in 32, 16 and 8 bits: each generates and says so; what is not installed says what to install."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from llmtrace_inference.demo_model import directory
from llmtrace_inference.engine.interface import Generation
from llmtrace_inference.engine.local.continuous_batching import ContinuousBatchingEngine
from llmtrace_inference.engine.local.model_loader import LoadedModel, load_model
from llmtrace_inference.settings import InferenceSettings

SOURCE = "builtin:tiny-chat-s"


def _load(model_dir: Path, source: str = SOURCE, **configured: str) -> tuple[LoadedModel, InferenceSettings]:
    settings = InferenceSettings.model_validate(
        {"data_dir": model_dir, "default_max_tokens": 8, **configured}
    )
    return load_model("m", source, settings), settings


def _answers(loaded: LoadedModel, settings: InferenceSettings) -> tuple[list[list[int]], list[float]]:
    """Three greedy answers of twelve tokens to one prompt, and an embedding."""

    async def main() -> tuple[list[list[int]], list[float]]:
        engine = ContinuousBatchingEngine(loaded, settings)
        await engine.start()
        try:
            wanted = [
                Generation(f"q{i}", tuple(range(300, 330)), 12, temperature=0.0, ignore_eos=True)
                for i in range(3)
            ]
            submissions = [engine.submit(generation) for generation in wanted]
            answers = [
                [i async for delta in engine.stream(submission) for i in delta.token_ids]
                for submission in submissions
            ]
            vectors = await engine.embed([[1, 2, 3]])
            assert engine.stats().restarts == 0
            return answers, list(vectors[0])
        finally:
            await engine.close()

    return asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_each_dtype_generates_and_is_named(model_dir: Path, dtype: str) -> None:
    loaded, settings = _load(model_dir, dtype=dtype, device="cpu")
    assert (loaded.info.dtype, loaded.info.quantisation) == (dtype, "none")
    assert {p.dtype for p in loaded.model.parameters()} == {getattr(torch, dtype)}
    answers, vector = _answers(loaded, settings)
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]) == 12
    assert len(vector) == loaded.model.config.hidden_size
    assert sum(x * x for x in vector) == pytest.approx(1.0, abs=0.02)


def test_auto_is_32_bits_on_the_cpu(model_dir: Path) -> None:
    assert _load(model_dir, device="cpu")[0].info.dtype == "float32"


def test_int8_weights_generate_and_say_so(model_dir: Path) -> None:
    pytest.importorskip("torchao", reason="the extra 'quantisation' is not installed")
    loaded, settings = _load(model_dir, quantisation="int8")
    plain, _ = _load(model_dir)
    assert loaded.info.quantisation == "int8"
    assert loaded.info.parameters == plain.info.parameters
    assert type(loaded.model.model.layers[0].mlp.up_proj.weight).__name__ != "Parameter"
    answers, vector = _answers(loaded, settings)
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]) == 12
    assert len(vector) == loaded.model.config.hidden_size


def test_int8_without_its_package_says_what_to_install(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(RuntimeError, match=r"pip install 'llmtrace\[quantisation\]'"):
        _load(model_dir, quantisation="int8")


def _quantised_directory(model_dir: Path, target: Path, config: dict[str, Any]) -> str:
    """A directory that says of its weights that they are quantised in some way."""
    _load(model_dir)[0].model.save_pretrained(target)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(directory("tiny-chat-s") / file, target)
    config_json = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config_json | {"quantization_config": config}))
    return str(target)


@pytest.mark.skipif(find_spec("optimum") is not None, reason="optimum is installed: this works here")
def test_a_quantised_model_without_its_package_says_which(model_dir: Path, tmp_path: Path) -> None:
    source = _quantised_directory(model_dir, tmp_path / "m", {"quant_method": "gptq", "bits": 4})
    with pytest.raises(RuntimeError, match=r"model 'm' needs a package.* optimum"):
        _load(model_dir, source)
