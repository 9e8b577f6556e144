"""How pages read: a few clients shared by all visitors, results kept for moments, failures explained."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import streamlit as st
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from llmtrace_analysis.collector_client import connect_reader
from llmtrace_dashboard.settings import DashboardSettings

from .current_settings import current_settings
from .visitor import Access, access

P = ParamSpec("P")
T = TypeVar("T")

#: Clients that one process uses at most at the same time; further readers wait.
POOL_SIZE = 4

#: Seconds that a result serves every visitor; shorter than the shortest refresh is long.
KEEP_SECONDS = 2.5


class ReadFailed(Exception):
    """The collector gave no answer. `refused` says that it wants another key."""

    def __init__(self, message: str, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class ClientPool:
    """Clients for one collector, each used by one thread at a time; made when first needed."""

    def __init__(self, connect: Callable[[], Client], size: int = POOL_SIZE) -> None:
        self._connect = connect
        self._free: queue.LifoQueue[Client | None] = queue.LifoQueue()
        for _ in range(size):
            self._free.put(None)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client for the caller alone. Raises ReadFailed when the collector cannot be read."""
        try:
            client = self._free.get(timeout=30)
        except queue.Empty:
            raise ReadFailed("Every connection to the collector is busy with slow reads.") from None
        try:
            if client is None:
                client = self._connect()
            yield client
        except ClickHouseError as error:
            text = str(error)
            refused = any(sign in text for sign in ("code 401", "code 403", "AUTHENTICATION_FAILED"))
            # A broken or refused connection is made anew; one that merely got an error is kept.
            if refused or isinstance(error, OperationalError):
                client = None
            raise ReadFailed(_first_line(text), refused) from error
        finally:
            self._free.put(client)


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[0][:300]


def open_pool(settings: DashboardSettings, project: str = "") -> ClientPool:
    """Clients for the collector of the settings, of one project where it is named."""

    def connect() -> Client:
        # Looked up at each new connection: the collector may make its key after the dashboard started.
        return connect_reader(settings, project)

    return ClientPool(connect)


@st.cache_resource(max_entries=64, show_spinner=False)
def _pool(collector_url: str, project: str, _settings: DashboardSettings) -> ClientPool:
    return open_pool(_settings, project)


@st.cache_data(ttl=KEEP_SECONDS, max_entries=400, show_spinner=False)
def _cached(source: str, project: str, name: str, arguments: str, _run: Callable[[], Any]) -> Any:
    return _run()


def load(read: Callable[Concatenate[Client, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`read(client, …)` for the present page, kept for moments. Raises ReadFailed and AccessEnded.

    `read` is a function of `queries`; its arguments must have a `repr` that tells them apart.
    """
    return load_for(access(), read, *args, **kwargs)


def load_for(
    visit: Access, read: Callable[Concatenate[Client, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """`load` outside of a page's run, such as for a download, for who asked for it then."""
    settings, project = current_settings(), visit.confined_to()
    pool = _pool(settings.collector_url, project, settings)

    def run() -> T:
        with pool.client() as client:
            return read(client, *args, **kwargs)

    name = f"{read.__module__}.{read.__qualname__}"
    # Kept by what the reader may see: nobody is shown what another's project answered.
    result: T = _cached(settings.collector_url, project, name, repr((args, kwargs)), run)
    return result
