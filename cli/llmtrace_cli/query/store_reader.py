"""The way to a collector's store, for commands that read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.extras import needs

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from llmtrace_analysis.settings import CollectorConnection

Command = TypeVar("Command", bound=Callable[..., Any])


def collector_option(command: Command) -> Command:
    """The address of the collector."""
    return click.option(
        "--url", help="Base URL of the collector.  [default: dashboard.collector_url of the settings]"
    )(command)


def connection(context: click.Context, url: str | None, key: str | None = None) -> CollectorConnection:
    """How to reach the collector: as [dashboard] of the settings says, at `url` and with the read key `key`
    where these are named.
    """
    settings = read_settings(context, "analysis").dashboard
    changes: dict[str, Any] = {} if url is None else {"collector_url": url}
    if key is not None:
        from pydantic import SecretStr

        changes["read_key"] = SecretStr(key)
    return settings.model_copy(update=changes) if changes else settings


@contextmanager
def store_reader(
    context: click.Context, url: str | None, key: str | None = None, project: str = ""
) -> Iterator[Client]:
    """A reader of the collector, of one project where that is named.

    Raises click.ClickException with a sentence when it cannot be read.
    """
    collector = connection(context, url, key)
    with needs("analysis"):
        from clickhouse_connect.driver.exceptions import ClickHouseError

        from llmtrace_analysis.collector_client import connect_reader
    try:
        client = connect_reader(collector, project)
    except (ClickHouseError, OSError, ValueError) as error:
        raise click.ClickException(
            f"the collector at {collector.collector_url} cannot be read ({_first_line(error)}); "
            "start it with 'llmtrace collector', or name another with --url"
        ) from error
    try:
        yield client
    except ClickHouseError as error:
        raise click.ClickException(f"the collector refused the read: {_first_line(error)}") from error
    finally:
        client.close()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
