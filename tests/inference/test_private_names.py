"""The names of transformers that are not public API and that we build on. A failure here says what moved."""

from __future__ import annotations

import inspect

import pytest
from transformers import AttentionInterface, LogitsProcessorList
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.generation.continuous_batching import (
    cb_logits_processors,
    continuous_api,
    requests,
    scheduler,
)
from transformers.generation.continuous_batching.cache import PagedAttentionCache


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (scheduler.FIFOScheduler, "__init__", ["cache", "safety_margin", "max_requests_per_batch"]),
        (scheduler.FIFOScheduler, "schedule_batch", ["token_budget", "cache_budget"]),
        (scheduler.FIFOScheduler, "add_waiting_request", ["state"]),
        (scheduler.FIFOScheduler, "clear_cancelled_requests", []),
        (
            scheduler.FIFOScheduler,
            "_infer_request_tokens",
            ["state", "request_ids_to_remove_from_waiting"],
        ),
        (PagedAttentionCache, "compute_free_capacity", ["relative"]),
        (PagedAttentionCache, "update", ["key_states", "value_states", "layer_idx", "kwargs"]),
        (continuous_api.ContinuousBatchingManager, "register_result_handler", ["request_id", "callback"]),
        (continuous_api.ContinuousBatchingManager, "cancel_request", ["request_id"]),
        (
            continuous_api.ContinuousBatchingManager,
            "stop",
            ["block", "timeout", "keep_for_next_session", "hard_stop"],
        ),
        (
            cb_logits_processors.ContinuousBatchingLogitsProcessor,
            "prepare_tensor_args",
            ["requests_with_new_token"],
        ),
        (requests.RequestState, "generated_len", []),
        (AttentionInterface, "register", ["key", "value"]),
    ],
)
def test_signatures(owner: type, name: str, parameters: list[str]) -> None:
    names = list(inspect.signature(getattr(owner, name)).parameters)
    assert [p for p in names if p not in ("self", "cls")] == parameters


def test_the_scheduler_is_made_from_the_mapping_with_keywords() -> None:
    assert scheduler.SCHEDULER_MAPPING["fifo"] is scheduler.FIFOScheduler
    source = inspect.getsource(continuous_api.ContinuousBatchingManager._create_batch_processor)
    assert "SCHEDULER_MAPPING.get(scheduler_type" in source
    assert "cache=paged_attention_cache," in source


def test_the_scheduler_hears_of_each_step_and_args_are_prepared_before_it() -> None:
    prepare = inspect.getsource(continuous_api.ContinuousBatchProcessor.prepare_next_batch)
    order = ["clear_cancelled_requests", "has_pending_requests", "schedule_batch", "prepare_batch_tensors"]
    assert sorted(order, key=prepare.index) == order


def test_fields() -> None:
    assert {
        "generated_tokens",
        "initial_tokens",
        "position_offset",
        "logit_processor_kwargs",
        "request_id",
    } <= set(requests.RequestState.__dataclass_fields__)
    assert {"generated_tokens", "timestamps", "status", "error"} <= set(
        requests.GenerationOutput.__dataclass_fields__
    )
    assert set(requests.FutureRequestState.__slots__) >= {"state", "has_new_token", "query_length"}
    router = continuous_api.OutputRouter()
    assert router.result_handlers == {}
    processors = cb_logits_processors.ContinuousBatchingLogitsProcessorList
    assert {"tensors_required", "supported_keys", "do_processing", "logits_processor"} <= set(
        vars(processors(LogitsProcessorList(), per_request_processors=True))
    )
    assert {"use_async_batching", "use_cuda_graph"} <= set(ContinuousBatchingConfig.__dataclass_fields__)
    assert {"page_size", "num_blocks", "max_batch_tokens", "scheduler_type", "per_request_processors"} <= set(
        ContinuousBatchingConfig.__dataclass_fields__
    )
