"""Read the results of a batch, as a program of its own.

    python -m tests.e2e.programs.read_batch COLLECTOR PROVIDER {polled|whole|left}

`polled` asks how far the batch is before, `left` reads a part of the file and goes.
"""

from __future__ import annotations

import sys

import openai

import llmtrace


def main(collector: str, provider: str, way: str) -> None:
    """Read both files."""
    llmtrace.init(endpoint=collector, service_name=way, spool_dir="off")
    client = openai.OpenAI(base_url=f"{provider}/v1", api_key="k", max_retries=0)
    for batch_id in ("batch_chat", "batch_embeddings"):
        if way == "polled":
            client.batches.retrieve(batch_id)
        file_id = batch_id.replace("batch", "file")
        if way == "left":
            with client.files.with_streaming_response.content(file_id) as response:
                next(response.iter_lines())
        else:
            assert client.files.content(file_id).text
    assert llmtrace.flush(30)


if __name__ == "__main__":
    main(*sys.argv[1:])
