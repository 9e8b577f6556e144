"""What `llmtrace watch` consists of: settings become rules, channels and clients here, and nowhere else."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import partial
from types import FrameType
from typing import Any

from llmtrace.common.log_lines import log_to_stderr
from llmtrace_analysis.alerts.attempt_log import AttemptLog
from llmtrace_analysis.alerts.backlog import Bounds, RetryPolicy
from llmtrace_analysis.alerts.channels.from_settings import channel_named, channel_names
from llmtrace_analysis.alerts.delivery import Receiver
from llmtrace_analysis.alerts.metrics import DeliveryMetrics
from llmtrace_analysis.alerts.outbox import Outbox
from llmtrace_analysis.collector_client import CollectorClient, connect, connect_reader
from llmtrace_analysis.cost.unseen import Thresholds
from llmtrace_analysis.detect.abuse.access_events import AccessParameters
from llmtrace_analysis.detect.abuse.request_flood import FloodParameters
from llmtrace_analysis.detect.budgets import BudgetRule
from llmtrace_analysis.detect.detectors.parameters import AnomalyParameters
from llmtrace_analysis.detect.label_margins import LabelMargins
from llmtrace_analysis.detect.own_rules.own_rule import OwnRule
from llmtrace_analysis.detect.rules import AccessRule, AnomalyRule, FloodRule, InjectionRule, Rule
from llmtrace_analysis.detect.scans.message_scan import MessageScan
from llmtrace_analysis.detect.streaming.sensitivity import Sensitivity, evidence_of
from llmtrace_analysis.detect.watched.level_rule import LevelRule
from llmtrace_analysis.settings import WatchSettings

from .headroom import HeadroomRule
from .health import Health, HealthServer
from .series_metrics import add_series_metrics
from .service import Pace, Watch, run
from .unseen_spend import UnseenSpendCheck

logger = logging.getLogger(__name__)

#: Evaluations that may fail to come before the health port calls watch stuck, and the least time for that.
_PATIENCE_EVALUATIONS, _PATIENCE_SECONDS = 10, 60.0


def serve(settings: WatchSettings) -> None:
    """Watch until SIGTERM or SIGINT. Raises OSError when the health port is taken."""
    log_to_stderr()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with (
        _stop_signals() as stopping,
        closing(build(settings)) as watch,
        _health_server(settings, watch.health),
    ):
        run(watch, stopping)
    logger.info("stopped")


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Set by SIGTERM and SIGINT, which end the process no other way until everything is closed."""
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _health_server(settings: WatchSettings, health: Health) -> AbstractContextManager[object]:
    if not settings.health_port:
        return nullcontext()
    return closing(HealthServer(health, settings.health_host, settings.health_port))


def build(settings: WatchSettings) -> Watch:
    """The watcher of these settings; it connects when it evaluates."""
    collector = connect(settings)
    health = Health(max(_PATIENCE_SECONDS, _PATIENCE_EVALUATIONS * settings.interval_seconds))
    metrics = DeliveryMetrics(health.registry)
    outbox = build_outbox(settings, collector.add_delivery, metrics, is_settled=collector.any_settled)
    health.checks.append(outbox.reasons)
    open_reader = partial(connect_reader, settings)
    scan = MessageScan(
        open_reader, settings.purposes, settings.injection_window_seconds, settings.interval_seconds
    )
    levels = build_level_rule(settings)
    add_series_metrics(levels, health.registry)
    rules = build_rules(settings, collector, scan, levels)
    rule_threads = [levels.thread]
    if settings.billing:
        check = build_unseen_spend_check(settings)
        rules.append(check)
        rule_threads.append(check.thread)
        health.checks.append(check.reasons)
    return Watch(
        open_reader=open_reader,
        collector=collector,
        rules=rules,
        scan=scan,
        rule_threads=rule_threads,
        at_end=[levels.close],
        outbox=outbox,
        health=health,
        pace=Pace(
            interval_seconds=settings.interval_seconds,
            lookback_seconds=settings.lookback_minutes * 60,
            rest_seconds=settings.rest_seconds,
            update_seconds=settings.update_seconds,
        ),
    )


def build_level_rule(settings: WatchSettings) -> LevelRule:
    """What judges every minute of all series."""
    return LevelRule(partial(connect_reader, settings), settings.purposes, Sensitivity(settings.sensitivity))


def build_rules(
    settings: WatchSettings, collector: CollectorClient, scan: MessageScan, levels: LevelRule
) -> list[Rule]:
    """Every rule, in the order of evaluation."""
    anomalies = anomaly_parameters(settings)
    return [
        AnomalyRule(anomalies, settings.purposes, LabelMargins(), settings.sensitivity),
        levels,
        FloodRule(flood_parameters(settings), anomalies.quiet_seconds, settings.purposes),
        InjectionRule(scan, settings.injection_hits, settings.injection_window_seconds),
        AccessRule(access_parameters(settings)),
        BudgetRule(collector.budgets),
        *(OwnRule(rule) for rule in settings.rules),
        HeadroomRule(collector.quotas),
    ]


def build_unseen_spend_check(settings: WatchSettings) -> UnseenSpendCheck:
    """What asks the usage APIs of these settings."""
    return UnseenSpendCheck(
        settings.billing,
        partial(connect_reader, settings),
        unseen_thresholds(settings),
        check_hours=settings.billing_check_hours,
        delay_hours=settings.billing_delay_hours,
        days=settings.billing_days,
    )


def unseen_thresholds(settings: WatchSettings) -> Thresholds:
    """From which on unseen spend is an incident."""
    return Thresholds(settings.unseen_usd, settings.unseen_share, settings.unseen_tokens)


def build_outbox(
    settings: WatchSettings,
    write: Callable[[dict[str, Any]], None],
    metrics: DeliveryMetrics,
    *,
    is_settled: Callable[[Sequence[str]], bool],
) -> Outbox:
    """The receivers; `write` takes each attempt (the body of `POST /v1/deliveries`), `is_settled` says
    whether any of these deliveries is recorded as done with. Raises ChannelUnusable.
    """
    retry = RetryPolicy(
        attempts=settings.webhook_attempts,
        backoff_seconds=settings.webhook_backoff_seconds,
        backoff_max_seconds=settings.webhook_backoff_max_seconds,
        rest_seconds=settings.webhook_rest_seconds,
    )
    bounds = Bounds(messages=settings.webhook_backlog, seconds=settings.webhook_window_minutes * 60)
    attempt_log = AttemptLog(write)
    receivers = [
        Receiver(
            channel,
            name=name,
            retry=retry,
            bounds=bounds,
            dashboard_url=settings.dashboard_url,
            record=attempt_log.add,
            is_settled=is_settled,
            metrics=metrics,
        )
        for name in channel_names(settings)
        for channel in [channel_named(settings, name)]
    ]
    return Outbox(receivers, attempt_log, window_seconds=bounds.seconds)


def anomaly_parameters(settings: WatchSettings) -> AnomalyParameters:
    """The constants of the ten-second rules, as demanding as the sensitivity says."""
    evidence = evidence_of(settings.sensitivity)
    return AnomalyParameters(lookback_minutes=settings.lookback_minutes).demanding(evidence)


def access_parameters(settings: WatchSettings) -> AccessParameters:
    """The thresholds of bursts at the collector's endpoints."""
    return AccessParameters(
        window_seconds=settings.access_window_seconds,
        refused_keys=settings.refused_keys,
        denied_reads=settings.denied_reads,
        new_addresses=settings.new_addresses,
    )


def flood_parameters(settings: WatchSettings) -> FloodParameters:
    """The thresholds of request floods."""
    return FloodParameters(
        window_seconds=settings.flood_window_seconds,
        history_seconds=settings.lookback_minutes * 60,
        calls=settings.flood_calls,
        ratio=settings.flood_ratio,
        width=settings.flood_width,
        min_users=settings.flood_min_users,
        calls_alone=settings.flood_calls_alone,
    )
