"""The collector: endpoints in front, log and writer behind, background tasks, put together and served."""

from __future__ import annotations

import logging
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from llmtrace.common.health import HealthCheck, HealthReason
from llmtrace.common.http_limits.middleware import HttpLimits
from llmtrace.common.http_limits.server import LimitedServer, limited_config
from llmtrace.common.log_lines import log_to_stderr
from llmtrace.common.sealed_files import EncryptionKeys
from llmtrace.common.sealed_files import load_keys as load_encryption_keys
from llmtrace.common.supervised import SupervisedThread

from .access.api_keys import ApiKeyStore
from .access.auth import Authenticator, load_keys
from .access.client_address import ClientAddresses
from .access.security_events import SecurityEvents
from .accounting.budgets import Budgets
from .accounting.call_dedup import CallDeduplicator
from .accounting.price_book import PriceBook
from .accounting.rollup_task import RollupTask
from .accounting.store_ledger import StoreLedger
from .api import (
    audit,
    backup,
    budgets,
    incidents,
    keys,
    langfuse,
    ledger,
    limits,
    maintenance,
    prices,
    quarantine,
    query,
    quotas,
    watch_reports,
)
from .api.unavailable import answer_unavailable
from .api.validation_answer import validation_answer
from .disk_reserve import DiskReserve
from .ingest import otlp_http
from .ingest.completeness import ArrivalCounts
from .ingest.intake import Intake
from .ingest.missing_segments import MissingSegments
from .ingest.wal import WriteAheadLog
from .ingest.writer import Writer
from .metrics import CollectorMetrics
from .pricing.currencies import has_rate
from .settings import CollectorSettings
from .store.answer_probe import AnswerProbe
from .store.engine import NOT_ENOUGH_SPACE, StoreError, StoreUnavailable
from .store.integrity.restored_rows import BackupRows
from .store.integrity.store_check import StoreChecks
from .store.query_guard.text_queue import QueryQueue
from .store.rollups.settings import RollupSettings
from .store.schema.redaction import Redaction
from .store.store import Store, open_store
from .tasks import PeriodicTask, measure

if TYPE_CHECKING:
    from .access.tokens import Tokens
    from .ingest.otlp_grpc import OtlpGrpcServer
    from .mlflow import MlflowSync

logger = logging.getLogger(__name__)

#: How long a stop waits for the store to take what is in the log; the rest is taken at the next start.
_DRAIN_SECONDS = 15.0

_PRICE_BOOK_SECONDS = 3.0

#: How much of the completeness counts a SIGKILL may lose.
_FLUSH_SECONDS = 2.0

#: How long a call that two spans tell of may be counted twice: a few passes at most.
_DEDUP_SECONDS = 10.0

_SDK_REPORTS_SECONDS = 10.0

#: How often the store's counts are compared: what is wrong is said within ten seconds.
_STORE_LEDGER_SECONDS = 3.0

#: How often some parts are read and checked, each of them once a day.
_PART_CHECK_SECONDS = 10.0

#: How often it is said anew which segments of the log are missing.
_MISSING_SECONDS = 3.0

#: How soon a key that another collector on the same store made or revoked is known here.
_KEYS_SECONDS = 5.0

#: How soon a provider whose signing keys could not be had is asked again.
_ISSUERS_SECONDS = 10.0

#: Within which repeated security events of one place are one row.
_EVENTS_SECONDS = 10.0

#: How often the disk is looked at: at 60 MB/s into the log it fills by half of what counts as full.
_DISK_SECONDS = 0.25

#: How old the answer about a budget may be.
_BUDGET_SECONDS = 2.0


class Collector:
    """The running parts. `open` starts them in the order in which data flows, `close` drains them."""

    def __init__(self, settings: CollectorSettings) -> None:
        _demand_writable(settings.data_dir)
        _demand_tls_files(settings)
        _demand_rates(settings)
        self.settings = settings
        self.keys = load_keys(settings)
        self.metrics = CollectorMetrics()
        self.disk = DiskReserve(
            settings.data_dir, settings.disk_reserve_bytes, 2 * settings.segment_bytes, self.metrics
        )
        self.disk.check()  # what the start itself writes has the reserve
        self.encryption_keys = load_encryption_keys(settings.encryption_key_file)
        self.store: Store = _open_store(settings, self.encryption_keys)
        self.api_keys = ApiKeyStore(self.store)
        self.security_events = SecurityEvents(self.store, self.metrics)
        self.tokens: Tokens | None = None
        if settings.issuers:
            # Cryptography takes long to import: only collectors that use it pay.
            from .access.tokens import Tokens

            self.tokens = Tokens(settings.issuers)
        self.authenticator = Authenticator(
            self.keys,
            self.api_keys,
            locked=settings.require_keys,
            events=self.security_events,
            addresses=ClientAddresses(settings.trusted_proxies),
            tokens=self.tokens,
        )
        self.arrival_counts = ArrivalCounts(
            self.store, self.metrics, settings.data_dir / "wal", self.encryption_keys
        )
        self.writer = Writer(self.store, self.metrics, self.arrival_counts)
        self.wal = WriteAheadLog(
            settings.data_dir / "wal",
            segment_bytes=settings.segment_bytes,
            segment_seconds=settings.segment_seconds,
            budget_bytes=settings.log_budget_bytes,
            on_closed=self.writer.submit,
            behind=self.writer.behind,
            keep_refused=settings.keeps_refused,
            keys=self.encryption_keys,
            on_damage=self.arrival_counts.count_damage,
            journal=self.arrival_counts.journal,
        )
        self.intake = Intake(settings, self.wal, self.metrics, self.arrival_counts, self.disk.reason)
        self.grpc = self._open_grpc()
        self.readers = query.reader_pool()
        self.queries = QueryQueue(settings.query_max_bytes)
        self.price_book = PriceBook(self.store, settings.prices, settings.exchange_rates)
        self.disk_task = self._task("disk", _DISK_SECONDS, self.disk.check)
        self.tasks = [self._task("pricing", _PRICE_BOOK_SECONDS, self.price_book.sync)]
        call_dedup = CallDeduplicator(self.store, self.arrival_counts.flag, is_paced=True)
        self.tasks.append(self._task("ledger", _DEDUP_SECONDS, call_dedup.sync))
        self.rollups = RollupTask(self.store, self.metrics)
        self.tasks.append(self._task("rollups", settings.rollup_seconds, self.rollups.sync))
        self.store_ledger = StoreLedger(self.store, self.metrics, incidents.Incidents(self.store))
        self.tasks.append(self._task("store ledger", _STORE_LEDGER_SECONDS, self.store_ledger.sync))
        self.tasks.append(self._task("part checks", _PART_CHECK_SECONDS, self.store_ledger.check_cold))
        backup_rows = BackupRows(self.store, settings.data_dir / "backups", self.encryption_keys)
        self.store_checks = StoreChecks(self.store, backup_rows, self.store_ledger.repaired)
        self.tasks.append(self._task("keys", _KEYS_SECONDS, self.api_keys.refresh))
        if self.tokens is not None:
            self.tasks.append(
                self._task("issuers", _ISSUERS_SECONDS, self.tokens.refresh, is_essential=False)
            )
        self.tasks.append(self._task("security events", _EVENTS_SECONDS, self.security_events.flush))
        self.tasks.append(self._task("completeness", _FLUSH_SECONDS, self._flush_counts))
        self.missing_segments = MissingSegments(
            self.wal.quarantine.missing, self.metrics, incidents.Incidents(self.store)
        )
        self.tasks.append(self._task("missing segments", _MISSING_SECONDS, self.missing_segments.sync))
        self.tasks.append(
            self._task("sdk reports", _SDK_REPORTS_SECONDS, self.arrival_counts.update_sdk_gauges)
        )
        self.budgets = Budgets(self.store, settings.budgets)
        self.tasks.append(self._task("budgets", _BUDGET_SECONDS, self.budgets.refresh))
        self._mlflow_sync: MlflowSync | None = None
        if settings.mlflow_url:
            # MLflow's client takes a second to import: only collectors that use it pay.
            from .mlflow import MlflowSync, MlflowUnavailable

            self._mlflow_sync = MlflowSync(self.store.rows, settings.mlflow_url, settings.trace_url)
            seconds = settings.mlflow_interval_seconds
            sync, expected = self._mlflow_sync.sync, (MlflowUnavailable,)
            self.tasks.append(self._task("mlflow", seconds, sync, expected, is_essential=False))
        self.threads: list[SupervisedThread] = [self.wal.thread]
        if self.grpc is not None:
            self.threads.append(self.grpc.thread)
        for thread in (*self.threads, self.writer.thread):
            measure(thread, self.metrics)
        self.store_probe = AnswerProbe(self.store.ping)
        #: Why requests should go elsewhere, and what is worth a word where they need not.
        self.health_checks: list[HealthCheck] = [
            self.store_probe.health,
            self._disk_health,
            self.writer.health,
            self._thread_health,
        ]
        self.health_checks += [self.store_ledger.health, self.missing_segments.health]
        self.health_warnings: list[Callable[[], str]] = [self.rollups.warning, self._task_warning]

    def _task(
        self,
        name: str,
        interval: float,
        work: Callable[[], object],
        unavailable: tuple[type[Exception], ...] = (),
        *,
        is_essential: bool = True,
    ) -> PeriodicTask:
        """`unavailable` are errors of another server that does not answer."""
        expected = (OSError, StoreUnavailable, *unavailable)
        return PeriodicTask(name, interval, work, self.metrics, expected, is_essential=is_essential)

    def _open_grpc(self) -> OtlpGrpcServer | None:
        if self.settings.grpc_port is None:
            return None
        try:
            from .ingest.otlp_grpc import OtlpGrpcServer
        except ModuleNotFoundError as error:
            raise ValueError(
                "collector.grpc_port needs the Python package grpcio: pip install 'llmtrace[grpc]', or leave "
                "grpc_port unset"
            ) from error
        return OtlpGrpcServer(self.settings, self.authenticator, self.intake)

    def open(self) -> None:
        """Start, behind what the log has recovered."""
        self.disk_task.start()
        self.wal.start()
        self.writer.start(self.wal)
        if self.grpc is not None:
            self.grpc.start()
        for task in self.tasks:
            task.start()

    def close(self) -> None:
        """Drain the log into the store and stop."""
        if self._mlflow_sync is not None:
            self._mlflow_sync.close()  # ends the pass under way after the run it is at
        for task in self.tasks:
            task.close()
        if self.grpc is not None:
            self.grpc.close()
        if self.tokens is not None:
            self.tokens.close()
        self.intake.close()
        self.wal.close()
        if not self.writer.close(_DRAIN_SECONDS):
            logger.warning("the store did not take everything; the log keeps the rest for the next start")
        self.arrival_counts.close()
        try:
            self.security_events.flush()
        except StoreError as error:
            logger.warning("the last security events were not stored: %s", error)
        self.wal.release()
        self.disk_task.close()  # a stop may need the reserve as well
        self.queries.close()
        self.readers.shutdown(cancel_futures=True)
        self.store.close()

    async def unready(self) -> list[HealthReason]:
        """Why requests should go elsewhere for now; empty when they need not. Asks the store, and does not
        wait for one that hangs.
        """
        await self.store_probe.ask()
        return [reason for check in self.health_checks for reason in check()]

    def _flush_counts(self) -> None:
        self.wal.note_held()  # first: it needs no store
        self.arrival_counts.flush()

    def _disk_health(self) -> Iterable[HealthReason]:
        if self.wal.size >= self.settings.log_budget_bytes:
            yield HealthReason("log-full", "the log's disk budget is used up")
        if full := self.disk.reason():
            yield HealthReason("disk-full", full)

    def _thread_health(self) -> Iterable[HealthReason]:
        essential = [task for task in (self.disk_task, *self.tasks) if task.is_essential]
        for thread in (*self.threads, *essential):
            if reason := thread.reason():
                yield reason

    def _task_warning(self) -> str:
        reasons = [task.reason() for task in self.tasks if not task.is_essential]
        return "; ".join(reason.text for reason in reasons if reason)


def _demand_writable(folder: Path) -> None:
    """Raise ValueError, saying how to repair it, when no file can be made in `folder`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"collector.data_dir = {str(folder)!r} cannot be written ({error.strerror}): make it writable, "
            "or choose another directory by --data-dir or [collector] data_dir"
        ) from error


def _demand_tls_files(settings: CollectorSettings) -> None:
    """Raise ValueError, naming the setting, when the files of TLS cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    name, path = "tls_certificate", settings.tls_certificate
    try:
        if settings.tls_certificate is not None:
            context.load_cert_chain(settings.tls_certificate, settings.tls_key)
        name, path = "tls_client_ca", settings.tls_client_ca
        if settings.tls_client_ca is not None:
            context.load_verify_locations(settings.tls_client_ca)
    except OSError as error:  # of which SSLError is one
        raise ValueError(
            f"collector.{name} = {str(path)!r} cannot be used ({error.strerror or error}): it should be a "
            "PEM file that the collector may read"
            + (", and tls_key the private key of its first certificate" if name == "tls_certificate" else "")
        ) from error


def _demand_rates(settings: CollectorSettings) -> None:
    """Raise ValueError for a price in a currency that cannot be told in US dollars."""
    for price in settings.prices:
        if not has_rate(price.currency, settings.exchange_rates):
            raise ValueError(
                f"the price of {price.model} is in {price.currency}, which has no rate; give one under "
                "[[dashboard.exchange_rates]] or [[collector.exchange_rates]]"
            )


def _open_store(settings: CollectorSettings, keys: EncryptionKeys | None) -> Store:
    try:
        return open_store(
            settings.store_dsn,
            settings.retention_days,
            retention=settings.retention,
            cluster=settings.cluster,
            reader=settings.store_reader,
            encryption_keys=keys,
            redaction=Redaction(settings.redact, settings.redact_patterns, settings.drop_content),
            rollups=RollupSettings(
                settings.trace_quiet_seconds, settings.trace_rootless_seconds, settings.step_names
            ),
        )
    except StoreUnavailable as error:
        if error.code != NOT_ENOUGH_SPACE:
            raise
        raise StoreUnavailable(
            f"the store has no space left: make room on its disk, or choose another directory by --data-dir "
            f"or [collector] data_dir ({error})",
            error.code,
        ) from error


def create_app(settings: CollectorSettings) -> FastAPI:
    """The collector as an ASGI application, its parts open from here on and closed at shutdown.

    Raises UnsafeBind, ValueError or StoreUnavailable, each with a sentence that says how to repair it.
    """
    collector = Collector(settings)
    try:
        collector.wal.recover()
    except BaseException:
        collector.store.close()
        raise

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        collector.open()
        yield
        collector.close()

    app = FastAPI(
        title="llmtrace collector",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # A collector that traced its own requests would feed itself.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.collector = collector
    app.add_exception_handler(RequestValidationError, validation_answer)
    answer_unavailable(app, collector.disk.reason)
    app.add_middleware(
        HttpLimits,
        rules=limits.rules(settings, collector.authenticator, collector.security_events, collector.metrics),
    )
    app.include_router(otlp_http.router(collector.intake, collector.metrics))
    app.include_router(
        query.router(
            collector.store,
            collector.authenticator,
            collector.metrics,
            collector.readers,
            collector.queries,
        )
    )
    app.include_router(audit.router(collector.store))
    app.include_router(incidents.router(collector.store))
    app.include_router(watch_reports.router(collector.store))
    app.include_router(maintenance.router(collector.store, collector.wal, collector.disk.reason))
    app.include_router(quarantine.router(collector.store, collector.wal, collector.arrival_counts))
    app.include_router(
        backup.router(collector.store, settings.data_dir / "backups", collector.encryption_keys)
    )
    app.include_router(
        ledger.router(collector.store, collector.wal, collector.store_ledger, collector.store_checks)
    )
    app.include_router(keys.router(collector.store, collector.api_keys, collector.security_events))
    app.include_router(budgets.router(collector.budgets))
    app.include_router(quotas.router(settings.quotas))
    app.include_router(langfuse.router())
    app.include_router(prices.router(collector.store, collector.price_book))

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    # No thread of the pool answers it: all of them may wait for a store that hangs.
    @app.get("/health/ready")
    async def ready(response: Response) -> dict[str, Any]:
        reasons = await collector.unready()
        if reasons:
            response.status_code = 503
        return {
            "status": "unavailable" if reasons else "ok",
            "reason": "; ".join(reason.text for reason in reasons),
            "reasons": [asdict(reason) for reason in reasons],
            "warning": "; ".join(filter(None, (warning() for warning in collector.health_warnings))),
        }

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(collector.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app


def serve(settings: CollectorSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    log_to_stderr()
    app = create_app(settings)
    server = LimitedServer(
        limited_config(
            app,
            settings.host,
            settings.port,
            # Whom X-Forwarded-For may be believed of is `trusted_proxies` to say.
            proxy_headers=False,
            timeout_graceful_shutdown=10,
            ssl_certfile=settings.tls_certificate,
            ssl_keyfile=settings.tls_key,
            ssl_ca_certs=None if settings.tls_client_ca is None else str(settings.tls_client_ca),
            ssl_cert_reqs=ssl.CERT_NONE if settings.tls_client_ca is None else ssl.CERT_REQUIRED,
        ),
        settings.max_connections,
    )
    with suppress(KeyboardInterrupt):
        server.run()
