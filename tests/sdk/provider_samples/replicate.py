"""Exchanges of Replicate: waited for, fetched and streamed."""

from __future__ import annotations

from typing import Any

from tests.sdk.wire_samples import Sample, estimated

REPLICATE_STREAM = "/v1/files/bcwr-g6nhrchzei4zcde2z5yjeix724wvksaalpstvoliod2zsu4uf4ua"
PREDICTION: dict[str, Any] = {
    "id": "p1",
    "model": "meta/llama-3",
    "version": "v1",
    "status": "succeeded",
    "input": {"prompt": "hi"},
    "output": ["Hel", "lo"],
    "error": None,
    "metrics": {"predict_time": 1.5, "input_token_count": 3, "output_token_count": 2},
    "urls": {
        "get": "https://api.replicate.com/v1/predictions/p1",
        "stream": f"https://x.test{REPLICATE_STREAM}",
    },
}
STARTING = {**PREDICTION, "status": "starting", "output": None, "metrics": {}}

SAMPLES: list[Sample] = [
    Sample(
        "a prediction of replicate that is waited for",
        "/v1/models/meta/llama-3/predictions",
        {"input": {"prompt": "hi", "system_prompt": "be kind", "temperature": 0.5, "max_tokens": 5}},
        PREDICTION,
        "generate_content",
        "replicate",
        ["stop"],
        {"input_tokens": 3, "output_tokens": 2, "compute_seconds": 1.5},
        [("text", "Hello")],
        model="meta/llama-3",
        more={"gen_ai.request.temperature": 0.5, "gen_ai.response.status": "succeeded"},
    ),
    Sample(
        "a prediction of replicate, begun",
        "/v1/predictions",
        {"version": "v1", "input": {"prompt": "hi"}},
        STARTING,
        "create_response",
        "replicate",
        None,
        {},
        [],
        model="v1",
        more={"gen_ai.response.status": "starting", "llmtrace.response.stream_path": None},
    ),
    Sample(
        "a prediction of replicate, fetched",
        "/v1/predictions/p1",
        None,
        {**PREDICTION, "output": ["https://x.test/a.png"], "metrics": {"predict_time": 2.0}},
        "generate_content",
        "replicate",
        ["stop"],
        {"compute_seconds": 2.0},
        [("uri", None)],
        model="meta/llama-3",
        method="GET",
    ),
    Sample(
        "a stream of replicate's",
        REPLICATE_STREAM,
        None,
        [
            {"event": "output", "data": "Hel"},
            {"event": "logs", "data": "loading"},
            {"event": "output", "data": "lo 3"},
            {"event": "done", "data": "{}"},
        ],
        "generate_content",
        "replicate",
        ["stop"],
        estimated(output=1),
        [("text", "Hello 3")],
        model=None,
        method="GET",
        framing="texts",
        more={"gen_ai.response.status": "succeeded"},
    ),
    Sample(
        "a stream of replicate's that fails",
        REPLICATE_STREAM,
        None,
        [{"event": "output", "data": "Hel"}, {"event": "error", "data": "out of memory"}],
        "generate_content",
        "replicate",
        ["error"],
        estimated(output=1),
        [("text", "Hel")],
        model=None,
        method="GET",
        framing="texts",
        more={"error.type": "_OTHER"},
    ),
]
