"""A backtest: all rules that sensitivity moves, over one stretch of history, under several configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from clickhouse_connect.driver.client import Client

from llmtrace_analysis.detect import store_queries
from llmtrace_analysis.detect.detectors.parameters import AnomalyParameters
from llmtrace_analysis.detect.label_margins import PastMargins
from llmtrace_analysis.detect.labels import MEMORY_SECONDS, Labelled, Margin, margins
from llmtrace_analysis.detect.streaming.sensitivity import evidence_of

from .fired import Fired
from .outcome import Configuration, Outcome, outcome
from .spikes import MarginsAt, SpikeConfiguration, replay_spikes


def replay_all(
    client: Client,
    since: int,
    until: int,
    configurations: Sequence[Configuration],
    progress: Callable[[float], None] | None = None,
) -> list[Outcome]:
    """What each configuration would have opened from `since` to `until` (Unix seconds, full minutes).

    `progress` is called with the share that is done. Raises what the store does.
    """
    labels = store_queries.labels(client, since - MEMORY_SECONDS)
    real = store_queries.past_anomalies(client, since, until)
    outcomes = []
    for number, configuration in enumerate(configurations):

        def share(part: float, number: int = number) -> None:
            if progress is not None:
                progress((number + part) / len(configurations))

        fired = list(_fired(client, since, until, configuration, labels, share))
        outcomes.append(outcome(configuration, since, until, fired, real))
    return outcomes


def _fired(
    client: Client,
    since: int,
    until: int,
    configuration: Configuration,
    labels: Sequence[Labelled],
    progress: Callable[[float], None],
) -> Iterator[Fired]:
    margins_at = _margins_at(configuration, labels)
    evidence = evidence_of(configuration.sensitivity)
    spikes = SpikeConfiguration(
        AnomalyParameters(lookback_minutes=configuration.lookback_minutes).demanding(evidence),
        configuration.sensitivity,
        configuration.rest_seconds,
        margins_at,
    )

    def progressed(time: float) -> None:
        progress((time - since) / (until - since))

    yield from replay_spikes(client, since, until, spikes, configuration.purposes, progressed)


def _margins_at(configuration: Configuration, labels: Sequence[Labelled]) -> MarginsAt:
    if configuration.labels == "then":
        return PastMargins(labels).at
    newest = max((item.at for item in labels), default=0.0)
    today = margins(labels, newest) if configuration.labels == "now" else {}

    def at(moment: float) -> Mapping[str, Margin]:
        return today

    return at
