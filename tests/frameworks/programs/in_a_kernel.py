"""Runs cells in a real Jupyter kernel, as a notebook does; steps come as JSON, outputs go as JSON."""

import json
import sys
import time
from typing import Any

from jupyter_client.manager import start_new_kernel

SECONDS = 60


def run(client: Any, manager: Any, code: str, interrupt: bool) -> list[dict[str, Any]]:
    """The outputs of a cell; with `interrupt` it is stopped once it has printed something."""
    outputs: list[dict[str, Any]] = []

    def hook(message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            outputs.append({"kind": content["name"], "text": content["text"]})
            if interrupt:
                manager.interrupt_kernel()
        elif kind in {"display_data", "execute_result"}:
            outputs.append({"kind": kind, **content["data"]})
        elif kind == "error":
            outputs.append({"kind": kind, "name": content["ename"], "text": content["evalue"]})

    client.execute_interactive(code, output_hook=hook, timeout=SECONDS)
    return outputs


def main() -> None:
    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=SECONDS)
    results: list[list[dict[str, Any]]] = []
    try:
        for step in json.load(sys.stdin):
            if step == "restart":
                manager.restart_kernel(now=False)
                client.wait_for_ready(timeout=SECONDS)
                results.append([])
            else:
                results.append(run(client, manager, step["code"], step.get("interrupt", False)))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=False)
        deadline = time.monotonic() + SECONDS
        while manager.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
    print(json.dumps(results))


main()
