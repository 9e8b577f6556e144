"""What providers bill and no span tells of: said here, so that it is not silent.

`llmtrace cost reconcile` finds what of it an export or a provider's usage API names.
"""

from __future__ import annotations

from typing import Final

from .endpoint import Endpoint

_NO_REQUEST: Final = "no request of the program is billed: a fixed line holds it"

ENDPOINTS: Final[tuple[Endpoint, ...]] = tuple(
    Endpoint(family, provider, remark=remark)
    for family, provider, remark in (
        (
            "speech, transcription of their own",
            "Deepgram, ElevenLabs, AssemblyAI",
            "formats of their own, billed by the second or character; OpenAI's are covered",
        ),
        (
            "speech, transcription of their own",
            "Amazon Polly and Transcribe, Google and Azure Speech",
            "services of their clouds, mostly over gRPC and WebSockets",
        ),
        (
            "pictures, videos of their own",
            "Stability, fal.ai, Black Forest Labs, Runway, Luma",
            "formats of their own, billed by the piece or in credits; on Replicate they are covered",
        ),
        ("videos", "xAI, Amazon Bedrock (StartAsyncInvoke)", "jobs whose result is a file elsewhere"),
        (
            "batch jobs on files of a cloud",
            "Vertex AI, Amazon Bedrock (model-invocation-job)",
            "requests and answers lie in a bucket, which no request of the program passes",
        ),
        ("asynchronous endpoints", "Amazon SageMaker", "InvokeEndpointAsync answers into a bucket"),
        (
            "endpoints asked in other than JSON",
            "Amazon SageMaker, TensorFlow Serving",
            "bodies of CSV, protobuf, NumPy",
        ),
        (
            "reserved capacity",
            "Azure PTU, Amazon Bedrock, Vertex AI, OpenAI",
            f"hours; {_NO_REQUEST}, and the calls are covered",
        ),
        (
            "dedicated endpoints",
            "Together, Fireworks, Hugging Face, Baseten, Replicate",
            f"hours; {_NO_REQUEST}",
        ),
        ("vector-store and file storage", "OpenAI, Azure OpenAI", f"gigabytes by the day; {_NO_REQUEST}"),
        (
            "containers",
            "OpenAI",
            "those of an answer's code interpreter are counted; those made by `/v1/containers` are not",
        ),
        (
            "file search of assistants",
            "OpenAI",
            "its calls are in the run's steps, which are fetched apart; the tokens are covered",
        ),
        (
            "hosted tools of agents",
            "Amazon Bedrock AgentCore, Vertex AI Agent Engine, Azure AI Agents",
            "billed by the second of a runtime; calls that a program of yours makes there are covered",
        ),
        ("InvokeFlow without traces", "Amazon Bedrock", "the answer names neither models nor tokens"),
        ("GenerateQuery, OptimizePrompt", "Amazon Bedrock", "the answer tells no tokens"),
        (
            "a web page as text, search, segments",
            "Jina (Reader), Perplexity Search, Tavily, Exa",
            "no model of yours is called",
        ),
        ("Knowledge Graph and web-search tools", "Writer", "the chat's usage leaves them out"),
        (
            "storage and reads",
            "Pinecone, Weaviate, Qdrant, Zilliz, Elastic",
            "billed by units of the database's own",
        ),
        (
            "the HTTP client of `tritonclient.http`",
            "Triton",
            "sockets of its own (geventhttpclient); `tritonclient.http.aio` is covered",
        ),
    )
)
