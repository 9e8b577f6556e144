"""Content checks and blocked users: what is refused, what is withdrawn, who may say so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from pydantic import SecretStr

from llmtrace_inference.access.blocked_users import BlockList
from llmtrace_inference.protocol.errors import ApiError
from llmtrace_inference.safety import Content, Verdict
from llmtrace_inference.settings import InferenceSettings
from tests.inference.fakes import FakeEngine
from tests.inference.running import serving, wait_until

RUN = "from llmtrace_cli.main import main; main()"
CONTENTS: list[Content] = []
CHECKED = InferenceSettings(
    models={"fake": "x"},
    input_checks=("tests.inference.test_safety:no_bombs",),
    output_checks=("tests.inference.test_safety:polite",),
)
HI: Any = [{"role": "user", "content": "hi"}]


def no_bombs(content: Content) -> Verdict:
    """A check of prompts."""
    if "crash" in content.text:
        raise ValueError("the check is broken")
    return Verdict("bomb" not in content.text, "weapons", 0.9)


async def polite(content: Content) -> Verdict:
    """A check of answers."""
    CONTENTS.append(content)
    return Verdict("fool" not in content.text, "insult" if "fool" in content.text else "")


def test_prompts_are_checked_before_and_answers_sentence_by_sentence() -> None:
    says = "Good day. You fool! Never mind."
    with serving(CHECKED, load=lambda *_: FakeEngine(says=says)) as running:
        ask = running.client.chat.completions.create
        for text in ("a bomb", "crash"):
            with pytest.raises(openai.BadRequestError) as refused:
                ask(model="fake", messages=[{"role": "user", "content": text}])
            assert refused.value.code == "content_filter"

        CONTENTS.clear()
        chunks = list(ask(model="fake", messages=HI, stream=True, user="ada"))
        streamed = "".join(c.choices[0].delta.content or "" for c in chunks)
        assert streamed.startswith("Good day. You fool!")
        assert "Never" not in streamed, "generation stops at the refusal"
        assert chunks[-1].choices[0].finish_reason == "content_filter"
        assert chunks[-1].model_dump()["recall"] == {"index": 0, "reason": "insult"}
        assert [c.text for c in CONTENTS] == ["Good day. ", "You fool! "]
        assert {(c.stage, c.user) for c in CONTENTS} == {("output", "ada")}

        answer = ask(model="fake", messages=HI, n=2)
        for choice in answer.choices:
            assert choice.finish_reason == "content_filter"
            assert choice.message.content is None
            assert "insult" in (choice.message.refusal or "")
        wait_until(lambda: sum(s.name == "chat fake" for s in running.exporter.get_finished_spans()) == 4)
        server = [s for s in running.exporter.get_finished_spans() if s.name == "chat fake"][2]
        attributes = dict(server.attributes or {})
        assert attributes["llmtrace.inference.safety.input"] == [
            "tests.inference.test_safety:no_bombs=allowed:weapons",
        ]
        assert attributes["llmtrace.inference.safety.output"] == [
            "tests.inference.test_safety:polite=refused:insult",
        ]
        assert attributes["llmtrace.inference.safety.recalled"] is True
        assert attributes["gen_ai.response.finish_reasons"] == ["content_filter"]
        assert "fool" not in str(attributes.get("gen_ai.output.messages", ""))

    with serving(CHECKED, load=lambda *_: FakeEngine(says="Good day. Bye")) as running:
        fine = running.client.chat.completions.create(model="fake", messages=HI)
        assert fine.choices[0].message.content == "Good day. Bye"


def test_blocked_users_by_the_command_line_and_over_http(tmp_path: Path) -> None:
    settings = InferenceSettings(
        models={"fake": "x"}, data_dir=tmp_path, admin_key=SecretStr("boss"), api_keys=(SecretStr("k"),)
    )
    with serving(settings, load=lambda *_: FakeEngine()) as running:
        admin = {"Authorization": "Bearer boss"}
        blocks = f"{running.url}/admin/blocks"

        def ask(user: str) -> httpx.Response:
            body = {"model": "fake", "messages": HI, "user": user}
            key = {"Authorization": "Bearer k"}
            return httpx.post(f"{running.url}/v1/chat/completions", json=body, headers=key)

        config = tmp_path / "llmtrace.toml"
        port = int(running.url.rpartition(":")[2])
        config.write_text(f'[inference]\nport = {port}\nadmin_key = "boss"\n')
        command = [sys.executable, "-c", RUN, "--config", str(config), "inference", "block"]
        result = subprocess.run(
            [*command, "mallory", "--for", "1h", "--reason", "flooding"], capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        assert "mallory is blocked until" in result.stdout
        refused = ask("mallory")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "user_blocked")
        assert 3590 <= int(refused.headers["retry-after"]) <= 3601
        assert "flooding" in refused.json()["error"]["message"]
        assert ask("alice").status_code == 200

        for wrong in ({}, {"Authorization": "Bearer k"}):
            assert httpx.post(blocks, json={"user": "a", "seconds": 1}, headers=wrong).status_code == 401
        assert httpx.post(blocks, json={"user": "a", "seconds": -1}, headers=admin).status_code == 400
        assert [b["user"] for b in httpx.get(blocks, headers=admin).json()["blocks"]] == ["mallory"]
        wrong_time = subprocess.run([*command, "x", "--for", "soon"], capture_output=True, text=True)
        assert "write 90s, 30m, 1h or 2d" in wrong_time.stderr

    with serving(settings, load=lambda *_: FakeEngine()) as running:
        assert ask("mallory").status_code == 403, "a restart remembers"
        assert httpx.delete(f"{running.url}/admin/blocks/mallory", headers=admin).status_code == 200
        assert ask("mallory").status_code == 200
        assert httpx.delete(f"{running.url}/admin/blocks/mallory", headers=admin).status_code == 404

    no_admin = settings.model_copy(update={"admin_key": None})
    with serving(no_admin, load=lambda *_: FakeEngine()) as running:
        assert httpx.get(f"{running.url}/admin/blocks", headers=admin).status_code == 403


def test_blocks_end_by_themselves(tmp_path: Path) -> None:
    now = 1000.0
    block_list = BlockList(tmp_path / "blocks.json", clock=lambda: now)
    block_list.add("mallory", 60)
    with pytest.raises(ApiError, match="another 60 s"):
        block_list.refuse("mallory")
    now += 60
    block_list.refuse("mallory")
    assert block_list.current() == []
    (tmp_path / "bad.json").write_text(json.dumps([{"who": 1}]))
    with pytest.raises(RuntimeError, match="mend or remove it"):
        BlockList(tmp_path / "bad.json")
