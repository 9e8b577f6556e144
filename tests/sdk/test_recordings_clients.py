"""The same recordings through the libraries of their providers: the spans are the same."""

from __future__ import annotations

import contextlib
import inspect
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import unquote

import anthropic
import boto3
import groq
import openai
import pytest
from botocore.config import Config
from google import genai
from google.oauth2.credentials import Credentials

from llmtrace.testing import Answer, ReplayServer, capture

from .naive import FOLDER, Recording, expected, recordings
from .test_recordings import answer_of, differences

Use = Callable[[Recording, dict[str, Any]], None]


pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recorded traffic at {FOLDER}")


def _called(create: Callable[..., Any], sent: dict[str, Any], **more: Any) -> None:
    """Call it with the recorded fields, those it does not know as `extra_body`; read a stream to its end."""
    known = inspect.signature(create).parameters
    extra = {name: value for name, value in sent.items() if name not in known}
    fields = {name: value for name, value in sent.items() if name in known}
    result = create(**fields, **more, **({"extra_body": extra} if extra else {}))
    if sent.get("stream"):
        for _ in result:
            pass


def _openai(url: str) -> Use:
    client = openai.OpenAI(base_url=url + "/v1", api_key="k", max_retries=0)
    beta = openai.OpenAI(base_url=url + "/beta", api_key="k", max_retries=0)
    azure = openai.AzureOpenAI(azure_endpoint=url, api_key="k", api_version="2024-02-01", max_retries=0)

    def use(recording: Recording, sent: dict[str, Any]) -> None:
        at = beta if recording.path.startswith("/beta/") else client
        if "/deployments/" in recording.path:
            at = azure  # it makes the path of the model
        if "/threads/" in recording.path:
            _, _, _, thread, _, *run = recording.path.split("/")
            runs = at.beta.threads.runs
            if run:
                runs.retrieve(run[0], thread_id=thread)
            else:
                _called(runs.create, sent, thread_id=thread)
            return
        create: dict[str, Callable[..., Any]] = {
            "/chat/completions": at.chat.completions.create,
            "/completions": at.completions.create,
            "/embeddings": at.embeddings.create,
            "/generations": at.images.generate,
            "/responses": at.responses.create,
        }
        method = next(method for end, method in create.items() if recording.path.endswith(end))
        _called(method, sent)

    return use


def _groq(url: str) -> Use:
    client = groq.Groq(base_url=url, api_key="k", max_retries=0)
    return lambda recording, sent: _called(client.chat.completions.create, sent)


def _anthropic(url: str) -> Use:
    client = anthropic.Anthropic(base_url=url, api_key="k", max_retries=0)
    return lambda recording, sent: _called(client.messages.create, sent)


def _google(url: str) -> Use:
    client = genai.Client(api_key="k", http_options={"base_url": url})
    vertex = genai.Client(
        vertexai=True,
        project="test-project",
        location="test-location",
        credentials=Credentials("token"),  # type: ignore[no-untyped-call]
        http_options={"base_url": url, "api_version": "v1beta1"},
    )

    def use(recording: Recording, sent: dict[str, Any]) -> None:
        at = vertex if "/projects/" in recording.path else client
        if "/interactions" in recording.path:
            stream = recording.is_stream
            if recording.record["method"] == "GET":
                result = at.interactions.get(id=recording.path.split("/")[-1], stream=stream)
            else:
                result = at.interactions.create(**sent)
            for _ in result if stream else ():
                pass
            return
        model = recording.path.split("/models/")[1].split(":")[0]
        if "requests" in sent:
            at.models.embed_content(
                model=model, contents=[embed_request["content"] for embed_request in sent["requests"]]
            )
            return
        config: Any = {**sent.get("generationConfig", {}), "tools": sent.get("tools")}
        config["system_instruction"] = sent.get("systemInstruction")
        at.models.generate_content(model=model, contents=sent["contents"], config=config)

    return use


def _bedrock(url: str) -> Use:
    client: Any = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}),
    )

    def use(recording: Recording, sent: dict[str, Any]) -> None:
        model = unquote(recording.path.split("/")[2])
        if not recording.path.endswith("-stream"):
            client.converse(modelId=model, **sent)
            return
        for _ in client.converse_stream(modelId=model, **sent)["stream"]:
            pass

    return use


def _is_openai(recording: Recording) -> bool:
    return recording.source in {"openai", "azure_openai", "other"}


def _is_groq(recording: Recording) -> bool:
    return recording.source == "openai" and recording.path.endswith("/chat/completions")


def _is_from(source: str) -> Callable[[Recording], bool]:
    return lambda recording: recording.source == source


_CLIENTS: list[tuple[str, Callable[[str], Use], Callable[[Recording], bool], str, int]] = [
    ("openai", _openai, _is_openai, "openai", 524),
    ("groq", _groq, _is_groq, "openai", 258),
    ("anthropic", _anthropic, _is_from("anthropic"), "anthropic", 64),
    ("boto3", _bedrock, _is_from("bedrock"), "aws.bedrock", 14),
    ("google-genai", _google, _is_from("google"), "gcp.gemini", 28),
]


@pytest.mark.parametrize(
    ("name", "library", "chosen", "provider", "count"), _CLIENTS, ids=[client[0] for client in _CLIENTS]
)
def test_every_recording_by_its_client(
    name: str,
    library: Callable[[str], Use],
    chosen: Callable[[Recording], bool],
    provider: str,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The address is the loopback's, so the provider follows from the format and the path alone."""
    monkeypatch.setenv("ANTHROPIC_OPEN_TELEMETRY", "false")
    wrong: list[str] = []
    counted: set[str] = set()
    matched: Counter[bool] = Counter()
    for recording, spans in list(
        _replayed(library, (candidate for candidate in recordings() if chosen(candidate)))
    ):
        want = expected(recording, counted)
        vendor = want.provider
        want.provider = vendor if vendor in {"azure.ai.openai", "gcp.vertex_ai"} else provider
        mismatches = list(differences(recording, want, spans))
        wrong += [f"{recording.name}: {mismatch}" for mismatch in mismatches]
        matched[not mismatches] += 1
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(wrong[:30])
    assert matched[True] == count


def _replayed(
    library: Callable[[str], Use], wanted: Iterable[Recording]
) -> Iterator[tuple[Recording, list[dict[str, Any]]]]:
    counts: list[tuple[Recording, int]] = []
    with capture(http_spans="none") as traces, ReplayServer(Answer()) as server:
        use = library(server.url)
        for recording in wanted:
            if recording.left_out:
                continue
            server.answer_with(answer_of(recording))
            sent = json.loads(recording.sent) if recording.sent else {}
            failed = recording.status >= 400 or b"event: error" in recording.answered
            with warnings.catch_warnings(), contextlib.suppress(*([Exception] if failed else [])):
                warnings.simplefilter("ignore")
                use(recording, sent)
            counts.append((recording, len(traces.spans())))
        spans = traces.snapshot()
    before = 0
    for recording, after in counts:
        yield recording, spans[before:after]
        before = after
