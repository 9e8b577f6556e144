"""What it costs to take spans in: CPU of the collector's process, from HTTP request to a store that is quiet
again.

    python -m benchmarks.ingest --help

A real collector in a process of its own gets real HTTP requests of unique LLM spans. Counted is CPU, not
time. Progress goes to stderr; the last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from llmtrace_collector.settings import CollectorSettings

from .checkout import HERE, Checkout
from .engine_alone import engine_alone
from .flood import Plan
from .ingest_apart import measure_apart
from .ingest_pairs import Comparison, Figures, compare_floods
from .ingest_run import BARE, Run, Side, demand_space, per_second, say
from .one_engine import compare_in_one_engine, spans_needed
from .paired import LEAST_PAIRS
from .quiet import Patience
from .span_load import SPANS_PER_REQUEST, PartOfLoad, SpanLoad, Text

_HELP = """\
What it costs to take spans in: CPU of the collector's process, from HTTP request to a store that is quiet
again. CPU counts, not time, so a busy machine does no harm; but compare figures of the same minutes only.

figures (one JSON object, the last line of standard output):
  spans_per_cpu_second            until the last row can be read; merges may still run
  to_quiet_spans_per_cpu_second   until merges are done and background tasks have caught up
  bare_...                        the same endpoint and log over the 17 columns of OpenTelemetry's exporter
                                  and one rollup; ratio_to_bare: what the collector makes of that, to quiet
  engine_...                      the engine alone, the same bytes as segments; ratio: what the collector
                                  makes of that, to the last row
  cost_percent, ..._low, ..._high with --against: CPU more than the other checkout, with its 95 % interval

A load that would meet an hour's end waits (minutes): closing an hour of usage is not in the figures.

examples:
  python -m benchmarks.ingest                              0.4 M spans, some minutes
  python -m benchmarks.ingest --quick                      every figure from few spans, to see that it works
  python -m benchmarks.ingest --long --text prompts        4 M spans of prose
  python -m benchmarks.ingest --redact secrets,pii         with redaction
  python -m benchmarks.ingest --encrypt --against . --no-bare
                                                           what encryption at rest costs
  git worktree add /tmp/before COMMIT                      a checkout to compare with, then:
  python -m benchmarks.ingest --against /tmp/before        8 pairs of 0.4 M spans in turn: the whole
  python -m benchmarks.ingest --against /tmp/before --at-most 8
                                                           pairs are added until their interval is narrow
                                                           enough to say "at most 8 %"; exit status 1 where
                                                           that does not hold
  python -m benchmarks.ingest --against /tmp/before --one-engine --at-most 2
                                                           both schemas in one engine, segment by segment, and
                                                           both endpoints: sharper, without what tasks do in
                                                           the engine
"""

_QUICK, _USUAL, _LONG = 8 * SPANS_PER_REQUEST, 400_000, 4_000_000

#: Settings of a quick run of this checkout alone: its tasks have caught up within seconds.
_QUICK_SETTINGS = {"rollup_seconds": 1.0, "trace_quiet_seconds": 1.0}

#: Spans of the runs that measure freshness, compression and the like.
_FEW = 60_000


def measure(run: Run) -> Figures:
    """Every figure of this checkout, by name."""
    spans = run.load.spans
    say("the engine alone")
    segment_bytes = CollectorSettings(data_dir=run.directory).segment_bytes
    engine = engine_alone(
        Checkout.of(HERE), run.folder() / "engine", run.fields, run.load, segment_bytes=segment_bytes
    )
    say("through the collector and the bare one in turn")
    sides: dict[str, Side] = {"here": (Checkout.of(HERE), "collector.py"), "bare": BARE}
    costs = run.floods(sides)
    collector, bare = costs["here"], costs["bare"]
    # Freshness under a flood is the length of the log; it is measured at half the rate, with reads.
    say("through the collector at half the rate, read meanwhile")
    few = PartOfLoad(run.load, 0, max(1, min(spans, _FEW) // SPANS_PER_REQUEST))
    read = run.flood(load=few, plan=Plan(run.senders, rate=spans / collector.wall / 2))
    return {
        "spans": spans,
        "span_bytes": run.load.span_bytes,
        "to_quiet_spans_per_cpu_second": per_second(spans, collector.to_quiet),
        "bare_to_quiet_spans_per_cpu_second": per_second(spans, bare.to_quiet),
        "ratio_to_bare": round(bare.to_quiet / collector.to_quiet, 3),
        "engine_to_quiet_spans_per_cpu_second": per_second(spans, engine.to_quiet),
        "spans_per_cpu_second": per_second(spans, collector.cpu),
        "bare_spans_per_cpu_second": per_second(spans, bare.cpu),
        "engine_spans_per_cpu_second": per_second(spans, engine.cpu),
        "ratio": round(engine.cpu / collector.cpu, 3),
        "python_share": round(collector.python / collector.to_quiet, 3),
        "idle_cpu_share": round(collector.idle_share, 3),
        "spans_per_second": round(spans / collector.wall),
        "rss_mb_peak": round(max(collector.rss_mb_peak, read.rss_mb_peak)),
        "ack_ms_p50": round(collector.ack_ms_p50, 2),
        "ack_ms_p99": round(collector.ack_ms_p99, 2),
        "queryable_ms_p95": round(read.queryable_ms_p95),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ingest", description=_HELP, formatter_class=argparse.RawTextHelpFormatter
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--spans", type=int, help=f"how many (default: {_USUAL:,})")
    size.add_argument("--long", action="store_true", help=f"{_LONG:,} spans")
    size.add_argument("--quick", action="store_true", help=f"{_QUICK:,} spans and short waits")
    parser.add_argument("--span-bytes", type=int, default=2000, help="mean size of a span (default: 2000)")
    parser.add_argument(
        "--text",
        choices=get_args(Text),
        default="words",
        help="what messages hold (default: words, at random)",
    )
    parser.add_argument("--senders", type=int, default=4, help="connections (default: 4)")
    parser.add_argument("--redact", default="", help="sets of patterns, with commas: secrets,pii")
    parser.add_argument("--encrypt", action="store_true", help="this checkout alone has a key")
    parser.add_argument("--drop-content", action="store_true", help="store no messages")
    parser.add_argument(
        "--apart", action="store_true", help="compressed, with an index of words, log events too"
    )
    parser.add_argument("--against", type=Path, metavar="DIR", help="a checkout of another commit")
    parser.add_argument("--pairs", type=int, default=LEAST_PAIRS, help=f"at least (default: {LEAST_PAIRS})")
    parser.add_argument("--most-pairs", type=int, default=3 * LEAST_PAIRS, help="with --at-most, at most")
    parser.add_argument("--at-most", type=float, metavar="PERCENT", help="the claim that pairs should settle")
    parser.add_argument(
        "--one-engine", action="store_true", help="inserts and endpoints alone, in one engine"
    )
    parser.add_argument("--no-bare", action="store_true", help="with --against: without the bare collector")
    parser.add_argument(
        "--directory", type=Path, help="where the data goes meanwhile (default: a temporary one)"
    )
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    return parser


def _demand_valid(options: argparse.Namespace) -> None:
    """Raise ValueError for options that do not go together."""
    if options.against is None and (options.at_most is not None or options.one_engine):
        raise ValueError(
            "--at-most and --one-engine compare with another checkout: say which by --against DIR"
        )
    if options.pairs < (1 if options.at_most is None else 2):
        raise ValueError("--pairs should be one or more, and two or more with --at-most")


def _spans(options: argparse.Namespace) -> int:
    if options.one_engine:
        return spans_needed(max(options.pairs, options.most_pairs))
    if options.spans is not None:
        return int(options.spans)
    return _QUICK if options.quick else _LONG if options.long else _USUAL


def _own_fields(options: argparse.Namespace, directory: Path) -> dict[str, object]:
    """Settings of this checkout's collectors alone."""
    if not options.encrypt:
        return {}
    file = directory / "keys"
    file.write_text(secrets.token_hex(32))
    return {"encryption_key_file": str(file)}


def _figures(options: argparse.Namespace, directory: Path) -> tuple[Figures, bool]:
    """What was measured, and whether a claim that was to be settled holds."""
    spans = _spans(options)
    demand_space(directory, spans, options.span_bytes)
    sets = [pattern_set for pattern_set in options.redact.split(",") if pattern_set]
    # Another checkout may not know a setting, so what is the default is not said.
    fields: dict[str, object] = {}
    if sets or options.drop_content:
        fields = {"redact": sets, "drop_content": options.drop_content}
    if options.quick and options.against is None:
        fields |= _QUICK_SETTINGS
    say(f"preparing spans of about {options.span_bytes} bytes with {options.text}; {spans:,} will be sent")
    load = SpanLoad(spans, options.span_bytes, options.text)
    patience = Patience(window=1.0, idle=2.0, more=0.3) if options.quick else Patience()
    run = Run(load, fields, options.senders, patience, directory, _own_fields(options, directory))
    if options.against is None:
        figures = measure(run)
        if options.apart:
            figures |= measure_apart(run, min(spans, _FEW), options.span_bytes)
        return figures, True
    comparison = Comparison(Checkout.of(options.against), options.pairs, options.most_pairs, options.at_most)
    if options.one_engine:
        figures, verdict = compare_in_one_engine(run, comparison)
    else:
        figures, verdict = compare_floods(run, comparison, bare=not options.no_bare)
    return figures, options.at_most is None or verdict.holds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; 1: the claim does not hold, 2: it cannot be measured so."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the processes that were started, too
    try:
        _demand_valid(options)
        with tempfile.TemporaryDirectory(dir=options.directory, prefix="llmtrace-ingest-") as name:
            figures, holds = _figures(options, Path(name))
    except ValueError as error:
        print(f"benchmarks.ingest: {error}", file=sys.stderr)
        return 2
    if not options.json:
        for name, value in figures.items():
            plain = isinstance(value, str | bool)
            print(f"{name:38} {value}" if plain else f"{name:38} {value:,}")
    print(json.dumps(figures))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
