"""How many calls that two tracers told of become one record, and how many calls that are only alike do.

    python -m tests.conformance.duplicates --python .venvs/tracers/bin/python

Real emitters make calls against recorded answers, beside each other; the store decides with ids as they
came and with ids hidden. Prints misses and false merges; the last line is one JSON object. Exit status 1
where a call was merged with another, or where 1 % or more of the pairs are missed with ids hidden.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from llmtrace_collector.store.store import Store, open_store
from tests.collector.prefilled import prefill
from tests.sdk.naive import recordings

from .emitting import EmittedCalls, emit, without_ids
from .record_count import RecordCount, count_records, insert, total
from .replay import chat_calls
from .similar_calls import SceneMaker, Telling

#: Framework, its tracers, and whether they share a provider.
PROGRAMS = (
    ("langchain", "openinference-langchain,openllmetry-langchain", "one"),
    ("langchain", "openinference-langchain,openllmetry-openai", "one"),
    ("langchain", "openllmetry-langchain,openinference-openai", "own"),
    ("llamaindex", "openinference-llamaindex,openllmetry-openai", "own"),
    ("openai", "openinference-openai,openllmetry-openai", "one"),
    ("langchain", "llmtrace,openinference-langchain", "one"),
    ("llamaindex", "openinference-llamaindex,llmtrace", "one"),
)

#: How a group of calls is made: a call alone, four different ones at once, equal ones at once or in turn.
ALONE, TOGETHER, EQUAL, AGAIN = "alone", "together", "equal", "again"


@dataclass(frozen=True)
class PlannedCalls:
    """Groups as `programs/emit_calls.py` takes them, and how each call is made."""

    groups: list[list[dict[str, Any]]]
    kinds: dict[int, str]


def plan(calls: Sequence[Mapping[str, Any]], seed: int, share: float = 1.0) -> PlannedCalls:
    """Every recording once, the larger half alone and the others four at once; then equal requests, five at
    once and three in turn. `share` of all that.
    """
    chance = random.Random(seed)
    order = [dict(call) for call in calls]
    chance.shuffle(order)
    order = order[: max(8, int(len(order) * share))]
    alone = len(order) * 3 // 5
    kinds = [([call], ALONE) for call in order[:alone]]
    kinds += [(order[at : at + 4], TOGETHER) for at in range(alone, len(order), 4)]
    plain = [call for call in calls if call["kind"] == "chat" and not call["stream"]]
    kinds += [([dict(chance.choice(plain))] * 5, EQUAL) for _ in range(max(1, int(12 * share)))]
    for _ in range(max(1, int(10 * share))):
        call = dict(chance.choice(plain))
        kinds += [([call], AGAIN)] * 3
    groups: list[list[dict[str, Any]]] = []
    kind_of: dict[int, str] = {}
    for members, kind in kinds:
        first = len(kind_of)
        groups.append(
            [
                {**call, "call": first + place, "nested": bool((first + place) % 2)}
                for place, call in enumerate(members)
            ]
        )
        kind_of |= {first + place: kind for place in range(len(members))}
    return PlannedCalls(groups, kind_of)


def measure(
    store: Store,
    folder: Path,
    emitted: EmittedCalls,
    kinds: Mapping[int, str],
    project: str,
    *,
    hides_ids: bool,
) -> dict[str, RecordCount]:
    """What the store made of a program's spans: of calls to be told apart only by time, and of the others."""
    insert(store, folder, [without_ids(body) if hides_ids else body for body in emitted.requests], project)
    truth = emitted.truth()
    count = count_records(store, project, truth)
    return {
        "pairs": count.of({call for call, kind in kinds.items() if kind != EQUAL}),
        "equal": count.of({call for call, kind in kinds.items() if kind == EQUAL}),
    }


def tellings(emitted: EmittedCalls, kinds: Mapping[int, str]) -> list[tuple[Telling, Telling]]:
    """Of each call that was made alone, without tools, what the two tracers said: the longer span first."""
    truth = emitted.truth()
    of_call: dict[int, list[Telling]] = defaultdict(list)
    for request in map(without_ids, emitted.requests):
        for of_resource in request.resource_spans:
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    call = truth[span.span_id.hex()]
                    keys = {item.key for item in span.attributes}
                    if call is None or not keys & {
                        "gen_ai.usage.output_tokens",
                        "llm.token_count.completion",
                    }:
                        continue
                    if any(telling.span.span_id == span.span_id for telling in of_call[call]):
                        continue  # sent twice, by an exporter each
                    around = ResourceSpans(resource=of_resource.resource)
                    around.scope_spans.add(scope=of_scope.scope)
                    of_call[call].append(Telling(span, around))
    pairs = []
    for call, both in of_call.items():
        if len(both) == 2 and kinds[call] == ALONE:
            first, second = sorted(
                both, key=lambda item: item.span.start_time_unix_nano - item.span.end_time_unix_nano
            )
            pairs.append((first, second))
    return pairs


def measure_scenes(
    store: Store, folder: Path, pairs: Sequence[tuple[Telling, Telling]], of_a_kind: int, run_name: str = ""
) -> dict[str, RecordCount]:
    """What the store made of calls that are alike, by kind of scene."""
    counts: dict[str, list[RecordCount]] = defaultdict(list)
    by_name = defaultdict(list)
    for scene in SceneMaker(pairs).scenes(of_a_kind):
        by_name[scene.name].append(scene)
    for name, scenes in by_name.items():
        project = f"scene {run_name} {name}"
        truth: dict[str, int | None] = {}
        for number, scene in enumerate(scenes):
            truth |= {span: number * 10 + call for span, call in scene.truth.items()}
        insert(store, folder, [scene.request for scene in scenes], project)
        counts[name].append(count_records(store, project, truth))
    return {name: total(parts) for name, parts in counts.items()}


def run(python: Path, share: float, of_a_kind: int) -> dict[str, Any]:
    """Everything; the figures by name."""
    recorded = list(recordings())
    calls = chat_calls(recorded)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = open_store(f"chdb://{prefill(folder / 'store')}")
        sums: dict[str, list[RecordCount]] = defaultdict(list)
        pairs: list[tuple[Telling, Telling]] = []
        for seed, (framework, tracers, providers) in enumerate(PROGRAMS):
            planned = plan(calls, seed, share)
            emitted = emit(python, recorded, framework, tracers, planned.groups, providers=providers)
            pairs += tellings(emitted, planned.kinds)
            for hides_ids in (False, True):
                ids = "ids hidden" if hides_ids else "ids"
                counts = measure(store, folder, emitted, planned.kinds, f"{seed} {ids}", hides_ids=hides_ids)
                for kind, count in counts.items():
                    print(f"{emitted.name}, {ids}, {kind}: {count.line()}", flush=True)
                    sums[f"{kind}, {ids}"].append(count)
        for kind, parts in sums.items():
            figures[kind] = total(parts).figures()
        for kind, count in measure_scenes(store, folder, pairs, of_a_kind).items():
            print(f"{kind}: {count.line()}", flush=True)
            figures[kind] = count.figures()
        store.close()
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", type=Path, required=True, help="interpreter of the emitters' environment")
    parser.add_argument("--share", type=float, default=1.0, help="of the recordings")
    parser.add_argument("--scenes", type=int, default=100, help="of each kind of calls that are alike")
    options = parser.parse_args(arguments)
    figures = run(options.python, options.share, options.scenes)
    print(json.dumps(figures))
    hidden = figures["pairs, ids hidden"]
    merged = sum(part["false_merges"] + part["lost"] for part in figures.values())
    return int(merged > 0 or hidden["missed"] >= 0.01 * hidden["pairs"])


if __name__ == "__main__":
    sys.exit(main())
