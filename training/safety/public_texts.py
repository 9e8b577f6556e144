"""Benign texts of public sets whose licences allow shipping a model trained on them. None is committed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Source(NamedTuple):
    """A file of a public repository."""

    repository: str
    """owner/name on GitHub."""
    commit: str
    path: str
    licence: str
    sha256: str
    texts: Callable[[Any], str]
    """From one of its records to the text."""
    most: int = 100_000
    """Records that are used."""


def _instruction(record: Any) -> str:
    return f"{record['instruction']} {record.get('input') or ''}".strip()


def _first_turn(record: Any) -> str:
    return str(record["turns"][0] if isinstance(record["turns"][0], str) else record["turns"][0]["content"])


def _prompt(record: Any) -> str:
    return str(record["prompt"])


def _email(record: Any) -> str:
    return str(record["context"])


_TEACHER = ("teknium1/GPTeacher", "481075123c29854bddb82655badeef6a438f2436")
_SELF = ("yizhongw/self-instruct", "0b26ccaa415992100fa32df62d41b994cf928e23")
_CHAT = ("lm-sys/FastChat", "0e6d3e4beaab66f4d3f93db72541a4abab8af28d")
_ARENA = ("lmarena/arena-hard-auto", "196f6b826783b3da7310e361a805fa36f0be83f3")
_CHINESE = ("PlexPt/awesome-chatgpt-prompts-zh", "367ed18b9c50b702d762c6fbc2885107141acb62")
_EMAILS = ("microsoft/BIPIA", "1a2a91da6bb12838e05d1b2e54d98e2f37b835f3")

SOURCES = (
    Source(
        *_TEACHER,
        "Roleplay/roleplay-simple-deduped-roleplay-instruct.json",
        "MIT",
        "b5d57a0d92162fd0b78988fe352e8512b435363919caf63efc3759d5a1555023",
        _instruction,
    ),
    Source(
        *_TEACHER,
        "Codegen/codegen-instruct.json",
        "MIT",
        "8b0be81f22b86bccab30f573351b62efb3391da229d2ee817a65ce0abb08b29d",
        _instruction,
        most=1_500,
    ),
    Source(
        *_SELF,
        "data/seed_tasks.jsonl",
        "Apache-2.0",
        "7779004fa198fdf27cf70a159363879d8a26c53329e11b436af17b3941875f48",
        _instruction,
    ),
    Source(
        *_SELF,
        "human_eval/user_oriented_instructions.jsonl",
        "Apache-2.0",
        "81d60a117db495cecedecd9193504fd07c5b5a42f6699ef6b0f9da10fc22f42e",
        _instruction,
    ),
    Source(
        *_CHAT,
        "fastchat/llm_judge/data/mt_bench/question.jsonl",
        "Apache-2.0",
        "119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7",
        _first_turn,
    ),
    Source(
        *_CHAT,
        "fastchat/llm_judge/data/vicuna_bench/question.jsonl",
        "Apache-2.0",
        "c248c5c98ba45bb0c2aadae2f270e643bd32679c6c306a3b2a503ac4254cdaa5",
        _first_turn,
    ),
    Source(
        *_ARENA,
        "data/arena-hard-v0.1/question.jsonl",
        "Apache-2.0",
        "2650242d2883f22b2abd498f273b6a7e02253cce533f5c91a858e1d44aa3002f",
        _prompt,
    ),
    Source(
        *_ARENA,
        "data/arena-hard-v2.0/question.jsonl",
        "Apache-2.0",
        "a75cef6623db6b27aec810497b059f0659705d7ff48dcbccc5bd5b130728ac73",
        _prompt,
    ),
    Source(
        *_CHINESE,
        "prompts-zh.json",
        "MIT",
        "d017faa93cdc86e9855189fb497e812e40c9b1b3a0cf5001af73c1fa3371150d",
        _prompt,
    ),
    Source(
        *_EMAILS,
        "benchmark/email/train.jsonl",
        "MIT",
        "82207193cb8ce06713eeb7c33ca0716446613512e2ad9303b302ba14d425ddd4",
        _email,
    ),
)


def read(folder: Path) -> Iterator[tuple[Source, str]]:
    """Each text with its source; `folder` holds OWNER/NAME/PATH. ValueError for a file with another hash."""
    for source in SOURCES:
        raw = (folder / source.repository / source.path).read_bytes()
        if hashlib.sha256(raw).hexdigest() != source.sha256:
            raise ValueError(f"{source.repository}/{source.path} is not the file of {source.commit}")
        for record in _records(raw.decode("utf-8"))[: source.most]:
            text = source.texts(record).strip()
            if text:
                yield source, text


def _records(text: str) -> list[Any]:
    if text.lstrip().startswith("["):
        records = json.loads(text)
        return list(records)
    return [json.loads(line) for line in text.split("\n") if line.strip()]
