"""The attention kernels against the definition, and against the library's through the whole engine."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.attention.varlen
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from llmtrace_inference.engine.interface import Generation
from llmtrace_inference.engine.local import attention
from llmtrace_inference.engine.local.attention import Kernel, Packed, choose, flash, name_of, per_sequence
from llmtrace_inference.engine.local.continuous_batching import ContinuousBatchingEngine
from llmtrace_inference.engine.local.model_loader import load_model
from llmtrace_inference.settings import InferenceSettings
from tests.examples import examples

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0),
    reason="needs a CUDA GPU of capability 8.0 or newer: flash attention runs nowhere else",
)

Sequences = list[tuple[int, int]]
"""(queries, keys before them) of each packed sequence."""


def _softmax_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> torch.Tensor:
    """One sequence by the definition; shapes as in `Kernel`."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = torch.einsum("qhd,khd->hqk", query, key) * scale
    past = key.shape[0] - query.shape[0]
    hidden = torch.ones(scores.shape[1:], dtype=torch.bool).tril(past).logical_not()
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(hidden, -math.inf).softmax(-1), value)


def _packed(sequences: Sequences, heads: int, kv_heads: int, seed: int) -> tuple[torch.Tensor, ...]:
    dice = torch.Generator().manual_seed(seed)
    queries = [q for q, _ in sequences]
    keys = [q + past for q, past in sequences]
    tensors = [
        torch.randn(sum(lengths), n, 8, generator=dice)
        for lengths, n in ((queries, heads), (keys, kv_heads), (keys, kv_heads))
    ]
    ends = [
        torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32) for lengths in (queries, keys)
    ]
    return (*tensors, *ends)


def _apply(kernel: Kernel, packed: tuple[torch.Tensor, ...], scale: float | None) -> torch.Tensor:
    query_ends, key_ends = packed[3:]
    most = (int(query_ends.diff().max()), int(key_ends.diff().max()))
    return kernel(packed[0], packed[1], packed[2], query_ends, key_ends, *most, scale)


def _by_definition(packed: tuple[torch.Tensor, ...], scale: float) -> torch.Tensor:
    query, key, value, query_ends, key_ends = packed
    parts = zip(itertools.pairwise(query_ends.tolist()), itertools.pairwise(key_ends.tolist()), strict=True)
    return torch.cat(
        [_softmax_attention(query[a:b], key[c:d], value[c:d], scale) for (a, b), (c, d) in parts]
    )


def _like_varlen_attn(  # the parameters of torch's own, which is checked below
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> torch.Tensor:
    assert window_size == (-1, 0), "causal"
    assert enable_gqa == (query.shape[1] != key.shape[1])
    assert (max_q, max_k) == (int(cu_seq_q.diff().max()), int(cu_seq_k.diff().max()))
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    return _by_definition((query, key, value, cu_seq_q, cu_seq_k), scale or query.shape[-1] ** -0.5)


@given(
    sequences=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 20)), min_size=1, max_size=5),
    heads=st.sampled_from([(2, 2), (4, 2), (4, 1)]),
    scale=st.sampled_from([None, 0.3]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=examples(60))
def test_each_kernel_is_softmax_attention_of_each_sequence(
    sequences: Sequences, heads: tuple[int, int], scale: float | None, seed: int
) -> None:
    packed = _packed(sequences, *heads, seed)
    want = _by_definition(packed, scale or 8**-0.5)
    torch.testing.assert_close(_apply(per_sequence, packed, scale), want, rtol=1e-4, atol=1e-5)
    with pytest.MonkeyPatch.context() as patch:  # flash runs on CUDA only; what it is given shows here
        patch.setattr(torch.nn.attention.varlen, "varlen_attn", _like_varlen_attn)
        torch.testing.assert_close(_apply(flash, packed, scale), want, rtol=1e-4, atol=1e-5)


def test_the_parameters_of_torchs_varlen_attention() -> None:
    theirs = inspect.signature(torch.nn.attention.varlen.varlen_attn).parameters
    ours = inspect.signature(_like_varlen_attn).parameters
    assert {name: ours[name].kind for name in ours} == {name: theirs[name].kind for name in ours}
    assert all(p.default is not p.empty for name, p in theirs.items() if name not in ours)


def test_which_kernel_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    choose.cache_clear()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (device.index + 7, 5))
    monkeypatch.setattr(attention, "find_spec", lambda _: None)
    old, new = torch.device("cuda", 0), torch.device("cuda", 1)
    half = torch.bfloat16
    chosen = {
        "sdpa-per-sequence": [(CPU, torch.float32, 40), (CPU, half, 512)],
        "flash-varlen": [(new, half, 128), (new, torch.float16, 40), (new, half, 256)],
        "sdpa": [(old, half, 128), (new, torch.float32, 128), (new, half, 36), (new, half, 264)],
    }
    for name, cases in chosen.items():
        assert [name_of(*case) for case in cases] == [name] * len(cases)
    monkeypatch.setattr(attention, "find_spec", lambda _: object())
    assert name_of(new, half, 128) == "flash-attention"
    assert name_of(CPU, half, 128) == "sdpa-per-sequence"
    choose.cache_clear()


@pytest.fixture
def registry() -> Iterator[None]:
    yield
    attention.install()


def _greedy_tokens(model_dir: Path, **configured: str) -> list[list[int]]:
    """What a small engine answers to prompts around the chunk size, twice, so that prefixes are shared."""
    configuration = InferenceSettings.model_validate(
        {"data_dir": model_dir, "default_max_tokens": 8, "max_batch_tokens": 64, **configured}
    )
    loaded = load_model("m", "builtin:tiny-chat-s", configuration)

    async def main() -> list[list[int]]:
        engine = ContinuousBatchingEngine(loaded, configuration)
        await engine.start()
        try:
            answers: list[list[int]] = []
            for run in "ab":
                submissions = [
                    engine.submit(Generation(f"{run}{n}", tuple(range(300, 300 + n)), 12, temperature=0.0))
                    for n in (1, 15, 16, 17, 63, 64, 65, 200)
                ]
                for submission in submissions:
                    answers.append([i async for delta in engine.stream(submission) for i in delta.token_ids])
            return answers
        finally:
            await engine.close()

    return asyncio.run(asyncio.wait_for(main(), 120))


@pytest.mark.usefixtures("registry")
def test_the_varlen_path_gives_the_librarys_tokens(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way through the engine to `flash`, with the definition in place of the CUDA kernel."""
    calls: list[int] = []

    def counted(query: torch.Tensor, *rest: torch.Tensor, **more: object) -> torch.Tensor:
        calls.append(query.shape[0])
        return _like_varlen_attn(query, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.attention.varlen, "varlen_attn", counted)
    packed = Packed(lambda *_: flash)
    monkeypatch.setattr(attention, "install", lambda: AttentionInterface.register("sdpa", packed))
    ours = _greedy_tokens(model_dir)
    assert max(calls) > 16, "prefill and decode went this way"
    monkeypatch.setattr(
        attention, "install", lambda: AttentionInterface.register("sdpa", sdpa_attention_forward)
    )
    assert ours == _greedy_tokens(model_dir)


@needs_gpu
def test_flash_on_a_gpu_is_softmax_attention() -> None:
    sequences = [(1, 0), (1, 300), (17, 0), (64, 5), (200, 100)]
    packed = _packed(sequences, 4, 2, seed=1)
    want = _by_definition(packed, 8**-0.5)
    device = torch.device("cuda")
    on_gpu = (*(x.to(device, torch.bfloat16) for x in packed[:3]), *(x.to(device) for x in packed[3:]))
    got = _apply(flash, on_gpu, None)
    torch.testing.assert_close(got.float().cpu(), want, rtol=3e-2, atol=3e-2)


@needs_gpu
@pytest.mark.usefixtures("registry")
def test_flash_on_a_gpu_gives_the_librarys_tokens(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = _greedy_tokens(model_dir, device="cuda", dtype="float16")
    monkeypatch.setattr(
        attention, "install", lambda: AttentionInterface.register("sdpa", sdpa_attention_forward)
    )
    library = _greedy_tokens(model_dir, device="cuda", dtype="float16")
    # In 16 bits two nearly equal tokens may change places; most answers must be the very same.
    same = sum(a == b for a, b in zip(ours, library, strict=True))
    assert same >= 0.8 * len(ours)
