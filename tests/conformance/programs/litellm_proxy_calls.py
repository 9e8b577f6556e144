"""OpenAI's client against LiteLLM's proxy, which tells of requests by its OpenTelemetry callback: `litellm`,
and in its second form `litellm-v2`. The proxy is a process of its own, and hands requests on to the cell.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
from program import answers, run
from questions import CHAT_MODEL, EMBEDDING_MODEL, LENGTHS, MESSAGES, TEXTS, TOOL, TOOL_QUESTION

_CONFIG = f"""
model_list:
{
    "".join(
        f'''
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_key: k
      max_retries: 0
      configurable_clientside_auth_params: ["api_base"]
'''
        for model in (CHAT_MODEL, EMBEDDING_MODEL)
    )
}
litellm_settings:
  callbacks: ["otel"]
  num_retries: 0
router_settings:
  num_retries: 0
"""
#: It refuses to start without one, or with a short one.
_MASTER_KEY = f"sk-{secrets.token_hex(24)}"
_PROXY = {"url": ""}


def switch_on(tracer: str, otlp: str) -> Callable[[], object]:
    """Start the proxy; what ends it, which flushes."""
    folder = Path(tempfile.mkdtemp(prefix="litellm-proxy-"))
    (folder / "config.yaml").write_text(_CONFIG)
    port = free_port()
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OTEL_EXPORTER": "otlp_http",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "otlp_http",
        "OTEL_ENDPOINT": f"{otlp}/v1/traces",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"{otlp}/v1/traces",
        "OTEL_SERVICE_NAME": "proxy",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
        "NO_DOCS": "True",
        "LITELLM_MASTER_KEY": _MASTER_KEY,
        **({"LITELLM_OTEL_V2": "true"} if tracer == "litellm-v2" else {}),
    }
    environment.pop("PYTHONPATH", None)
    command = [str(Path(sys.executable).with_name("litellm")), "--config", str(folder / "config.yaml")]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    _PROXY["url"] = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    while not answers(f"{_PROXY['url']}/health/liveliness"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((folder / "log.txt").read_text()[-2000:])
        time.sleep(0.2)

    def end() -> None:
        time.sleep(6.5)  # its exporter sends every five seconds
        process.terminate()
        process.wait(30)

    return end


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def client() -> Any:
    """A client of the proxy."""
    return openai.OpenAI(base_url=f"{_PROXY['url']}/v1", api_key=_MASTER_KEY, max_retries=0)


def handed_to(url: str) -> dict[str, Any]:
    """Where the proxy hands a request on to."""
    return {"extra_body": {"api_base": f"{url}/v1"}}


def plain(url: str) -> None:
    client().chat.completions.create(model=CHAT_MODEL, messages=MESSAGES, **handed_to(url))


def stream(url: str) -> None:
    for _ in client().chat.completions.create(
        model=CHAT_MODEL,
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
        **handed_to(url),
    ):
        pass


def tools(url: str) -> None:
    messages: list[Any] = [{"role": "user", "content": TOOL_QUESTION}]
    for _ in range(2):
        answer = client().chat.completions.create(
            model=CHAT_MODEL, messages=messages, tools=[TOOL], **handed_to(url)
        )
        message = answer.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": str(LENGTHS["Mostar"])}
            for call in message.tool_calls or ()
        ]


def embeddings(url: str) -> None:
    client().embeddings.create(model=EMBEDDING_MODEL, input=TEXTS, **handed_to(url))


if __name__ == "__main__":
    run(
        {
            "plain": plain,
            "stream": stream,
            "tools": tools,
            "parallel_tools": tools,
            "embeddings": embeddings,
            "cached": plain,
            "error": plain,
        },
        switch_on=switch_on,
    )
