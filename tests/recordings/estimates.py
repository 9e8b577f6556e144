"""How far estimated tokens are from told ones, on recorded exchanges: `python -m tests.recordings.estimates`.

Every recording that tells its usage is estimated as if it did not, by the SDK's own functions, and the two
are compared: answers without reasoning, whose text providers keep to themselves; requests of nothing but text
that name nothing of what the provider holds. What its own tools read for a call is in the told input, and in
no estimate.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtrace import semconv
from llmtrace.wire.framing import decode
from llmtrace.wire.registry import recognise
from llmtrace.wire.render import render
from llmtrace.wire.usage_estimate import estimated_usage
from tests.sdk.naive import FOLDER, Recording

from .replay import recordings_of

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
_MEDIA = ('"type":"blob"', '"type":"uri"', '"type":"file"')
_MODELS = (semconv.REQUEST_MODEL, semconv.RESPONSE_MODEL)
#: Of so few tokens a share says nothing.
_LEAST = 20


@dataclass(frozen=True)
class Sample:
    """One count that was told, and its estimate."""

    name: str
    provider: str
    direction: str
    language: str
    reported: int
    estimated: int

    @property
    def error(self) -> float:
        """The estimate's, as a share of what was told."""
        return self.estimated / self.reported - 1


def samples(recordings: Iterable[Recording]) -> Iterator[Sample]:
    """Two of each exchange at most."""
    for recording in recordings:
        record = recording.record
        wire_format = recognise(recording.path, recording.sent, record["method"])
        if wire_format is None or recording.status >= 400 or record["method"] == "GET":
            continue
        events = decode.events(
            recording.headers.get("content-type", ""), recording.answered, wire_format.joined
        )
        answer = wire_format.fold(events) if events is not None else decode.decoded(recording.answered)
        asked = decode.decoded(recording.sent), recording.path
        known = wire_format.response(answer, True)
        sent = wire_format.request(*asked, True)
        models = {**sent.attributes, **known.attributes}
        described = {key: models[key] for key in _MODELS if key in models}
        described[semconv.OPERATION_NAME] = wire_format.operation
        estimates = estimated_usage(described, wire_format, asked, answer)
        text = render([*known.content.values()], 10**9)
        direction = "calls" if '"type":"tool_call"' in text else "output"
        answered = _count(known.attributes, semconv.USAGE_OUTPUT_TOKENS)
        has_reasoned = semconv.USAGE_REASONING_OUTPUT_TOKENS in known.attributes and _count(
            known.attributes, semconv.USAGE_REASONING_OUTPUT_TOKENS
        )
        if estimates and answered >= _LEAST and not has_reasoned:
            estimate = _count(estimates, semconv.USAGE_ESTIMATED_OUTPUT_TOKENS)
            yield Sample(recording.name, recording.source, direction, _language(text), answered, estimate)
        text = render([*sent.content.values()], 10**9)
        read = _count(known.attributes, semconv.USAGE_INPUT_TOKENS)
        is_text = not any(mark in text for mark in _MEDIA)
        is_all = semconv.REQUEST_PREVIOUS_RESPONSE_ID not in sent.attributes
        if estimates and read >= _LEAST and is_text and is_all:
            estimate = _count(estimates, semconv.USAGE_ESTIMATED_INPUT_TOKENS)
            yield Sample(recording.name, recording.source, "input", _language(text), read, estimate)


def _count(attributes: Any, key: str) -> int:
    value = attributes.get(key, 0)
    return value if isinstance(value, int) else 0


def _language(text: str) -> str:
    return "CJK" if len(_CJK.findall(text)) * 5 > len(text) else "other"


def summary(of: Iterable[Sample]) -> dict[str, float]:
    """Calls, the error of their sum, the median error, and what 90 % of the errors are within."""
    chosen = list(of)
    errors = sorted(abs(sample.error) for sample in chosen)
    total = sum(sample.reported for sample in chosen)
    return {
        "calls": len(chosen),
        "sum": sum(sample.estimated for sample in chosen) / total - 1,
        "median": statistics.median(errors),
        "within": errors[min(len(errors) - 1, int(len(errors) * 0.9))],
    }


def main() -> None:
    """Print a row for each direction, language and source."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--recordings", type=Path, default=FOLDER, help="Folder of recordings, as JSON lines."
    )
    parser.add_argument("--worst", type=int, default=0, help="Print so many of the worst as well.")
    arguments = parser.parse_args()
    measured = list(samples(recordings_of(arguments.recordings)))
    groups: dict[tuple[str, str, str], list[Sample]] = defaultdict(list)
    for sample in measured:
        for provider in ("all", sample.provider):
            for language in ("all", sample.language):
                groups[sample.direction, language, provider].append(sample)
    print(f"{'direction':10}{'language':10}{'source':14}{'calls':>7}{'sum':>9}{'median':>9}{'90 % in':>9}")
    for (direction, language, provider), members in sorted(groups.items()):
        row = summary(members)
        shares = "".join(f"{row[name]:>+9.1%}" for name in ("sum", "median", "within"))
        print(f"{direction:10}{language:10}{provider:14}{row['calls']:>7.0f}{shares}")
    for sample in sorted(measured, key=lambda sample: -abs(sample.error))[: arguments.worst]:
        print(sample)


if __name__ == "__main__":
    main()
