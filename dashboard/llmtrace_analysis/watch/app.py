"""What `llmtrace watch` consists of: settings become rules, channels and clients here, and nowhere else."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import fields
from functools import partial
from types import FrameType
from typing import Any

from llmtrace.common.log_lines import log_to_stderr
from llmtrace_analysis.alerts.channels.webhook import WebhookChannel
from llmtrace_analysis.alerts.delivery import Receiver, RetryPolicy
from llmtrace_analysis.alerts.outbox import Outbox
from llmtrace_analysis.collector_client import CollectorClient, connect, connect_reader
from llmtrace_analysis.detect.abuse.access_events import AccessParameters
from llmtrace_analysis.detect.abuse.request_flood import FloodParameters
from llmtrace_analysis.detect.budgets import BudgetRule
from llmtrace_analysis.detect.detectors.parameters import AnomalyParameters
from llmtrace_analysis.detect.rules import AccessRule, AnomalyRule, FloodRule, InjectionRule, Rule
from llmtrace_analysis.settings import WatchSettings

from .health import Health, HealthServer
from .service import Pace, Watch, run

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
    return Watch(
        open_reader=partial(connect_reader, settings),
        collector=collector,
        rules=build_rules(settings, collector),
        outbox=build_outbox(settings, collector.add_delivery),
        health=Health(max(_PATIENCE_SECONDS, _PATIENCE_EVALUATIONS * settings.interval_seconds)),
        pace=Pace(
            interval_seconds=settings.interval_seconds,
            lookback_seconds=settings.lookback_minutes * 60,
            rest_seconds=settings.rest_seconds,
            update_seconds=settings.update_seconds,
        ),
    )


def build_rules(settings: WatchSettings, collector: CollectorClient) -> list[Rule]:
    """Every rule, in the order of evaluation."""
    anomalies = anomaly_parameters(settings)
    return [
        AnomalyRule(anomalies, settings.purposes),
        FloodRule(flood_parameters(settings), anomalies.quiet_seconds, settings.purposes),
        InjectionRule(settings.injection_hits, settings.injection_window_seconds, settings.purposes),
        AccessRule(access_parameters(settings)),
        BudgetRule(collector.budgets),
    ]


def build_outbox(settings: WatchSettings, record: Callable[[dict[str, Any]], None]) -> Outbox:
    """The receivers; `record` takes each attempt (the body of `POST /v1/deliveries`)."""
    retry = RetryPolicy(
        attempts=settings.webhook_attempts,
        backoff_seconds=settings.webhook_backoff_seconds,
        backoff_max_seconds=settings.webhook_backoff_max_seconds,
        rest_seconds=settings.webhook_rest_seconds,
    )
    channels = [
        WebhookChannel(
            webhook,
            allow_private=settings.allow_private_webhooks,
            timeout_seconds=settings.webhook_timeout_seconds,
        )
        for webhook in settings.webhooks
    ]
    receivers = [Receiver(channel, retry, record) for channel in channels]
    return Outbox(receivers, settings.webhook_window_minutes * 60, settings.dashboard_url)


def anomaly_parameters(settings: WatchSettings) -> AnomalyParameters:
    """The thresholds of anomalies, which are settings of the same names."""
    return AnomalyParameters(
        **{field.name: getattr(settings, field.name) for field in fields(AnomalyParameters)}
    )


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
