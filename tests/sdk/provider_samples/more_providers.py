"""Exchanges of providers with few formats of their own: texts, documents, videos and pictures."""

from __future__ import annotations

from tests.sdk.wire_samples import Sample, estimated

from .shared import NO_TOKENS

SAMPLES: list[Sample] = [
    Sample(
        "voyage's multimodal embeddings",
        "/v1/multimodalembeddings",
        {
            "model": "m",
            "inputs": [
                {"content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": "https://x"}]}
            ],
        },
        {
            "object": "list",
            "data": [{"object": "embedding", "embedding": [0.1, 0.2], "index": 0}],
            "model": "m",
            "usage": {"text_tokens": 2, "image_pixels": 560, "total_tokens": 3},
        },
        "embeddings",
        "openai",
        None,
        {"input_tokens": 3},
        [],
        more={"gen_ai.embeddings.dimension.count": 2},
    ),
    Sample(
        "mistral reads a document",
        "/v1/ocr",
        {"model": "m", "document": {"type": "document_url", "document_url": "https://x.test/a.pdf"}},
        {
            "pages": [{"index": 0, "markdown": "# One"}, {"index": 1, "markdown": "Two"}],
            "model": "m-1",
            "usage_info": {"pages_processed": 2, "doc_size_bytes": 100},
        },
        "predict",
        "mistral_ai",
        None,
        {**NO_TOKENS, "pages": 2},
        [("text", "# One"), ("text", "Two")],
    ),
    Sample(
        "anthropic's first API",
        "/v1/complete",
        {"model": "m", "prompt": "hi", "max_tokens_to_sample": 5, "stop_sequences": ["E"]},
        {
            "type": "completion",
            "id": "compl_1",
            "completion": "Hello",
            "stop_reason": "max_tokens",
            "model": "claude-2.1",
        },
        "text_completion",
        "anthropic",
        ["length"],
        estimated(input=8, output=1),
        [("text", "Hello")],
        more={"gen_ai.request.max_tokens": 5, "gen_ai.response.model": "claude-2.1"},
    ),
    Sample(
        "anthropic's first API, streamed",
        "/v1/complete",
        {"model": "m", "prompt": "hi", "max_tokens_to_sample": 5, "stream": True},
        [
            {
                "type": "completion",
                "id": "compl_1",
                "completion": "Hel",
                "stop_reason": None,
                "model": "claude-2.1",
            },
            {"type": "ping"},
            {
                "type": "completion",
                "id": "compl_1",
                "completion": "lo",
                "stop_reason": None,
                "model": "claude-2.1",
            },
            {
                "type": "completion",
                "id": "compl_1",
                "completion": "",
                "stop_reason": "stop_sequence",
                "model": "claude-2.1",
            },
        ],
        "text_completion",
        "anthropic",
        ["stop"],
        estimated(input=8, output=1),
        [("text", "Hello")],
    ),
    Sample(
        "a stored prompt of portkey that completes a text",
        "/v1/prompts/pp-1/completions",
        {"variables": {"a": "b"}},
        {
            "id": "cmpl-1",
            "model": "gpt-3.5-turbo-instruct",
            "choices": [{"index": 0, "text": "Hello", "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        },
        "chat",
        "openai",
        ["stop"],
        {"input_tokens": 3, "output_tokens": 2},
        [("text", "Hello")],
        model=None,
    ),
    Sample(
        "a video of openai, begun",
        "/v1/videos",
        {"model": "sora-2", "prompt": "a cat", "seconds": "4"},
        {"id": "video_1", "object": "video", "model": "sora-2", "status": "queued", "seconds": "4"},
        "create_response",
        "openai",
        None,
        {},
        [],
        model="sora-2",
    ),
    Sample(
        "a video of openai, finished",
        "/v1/videos/video_1",
        None,
        {"id": "video_1", "object": "video", "model": "sora-2", "status": "completed", "seconds": "4"},
        "generate_content",
        "openai",
        ["stop"],
        {"video_seconds": 4.0},
        [],
        model="sora-2",
        method="GET",
    ),
    Sample(
        "a video of veo, begun",
        "/v1beta/models/veo-3:predictLongRunning",
        {"instances": [{"prompt": "a cat"}], "parameters": {"sampleCount": 1}},
        {"name": "models/veo-3/operations/op1"},
        "create_response",
        "gcp.gemini",
        None,
        {},
        [],
        model="veo-3",
    ),
    Sample(
        "a video of veo, finished",
        "/v1beta/models/veo-3/operations/op1",
        None,
        {
            "name": "models/veo-3/operations/op1",
            "done": True,
            "response": {
                "generateVideoResponse": {"generatedSamples": [{"video": {"uri": "https://x.test/v.mp4"}}]}
            },
        },
        "generate_content",
        "gcp.gemini",
        ["stop"],
        {},
        [("uri", None)],
        model="veo-3",
        method="GET",
    ),
    Sample(
        "a picture of imagen",
        "/v1/projects/p/locations/l/publishers/google/models/imagen-4:predict",
        {"instances": [{"prompt": "a cat"}], "parameters": {"sampleCount": 2}},
        {
            "predictions": [
                {"bytesBase64Encoded": "QUJD", "mimeType": "image/png"},
                {"raiFilteredReason": "no"},
            ]
        },
        "generate_content",
        "gcp.vertex_ai",
        ["stop", "content_filter"],
        {},
        [("blob", 3)],
        model="imagen-4",
    ),
]
