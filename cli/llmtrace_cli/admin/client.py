"""A running collector, managed from the command line: the client of its endpoints, with errors in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.extras import needs

if TYPE_CHECKING:
    from llmtrace_analysis.collector_client import CollectorClient
    from llmtrace_analysis.settings import CollectorConnection

#: Erasures and backups answer when they are done, exports with what they read.
_TIMEOUT_SECONDS = 600.0


@contextmanager
def own_collector(context: click.Context) -> Iterator[CollectorClient]:
    """The collector that [collector] of the settings describes."""
    with managing(read_settings(context, "collector").connection()) as client:
        yield client


@contextmanager
def managing(connection: CollectorConnection) -> Iterator[CollectorClient]:
    """The collector at the end of `connection`. What fails within is a click.ClickException in its words."""
    with needs("collector"):
        from llmtrace.common.admin_key import AdminKeyMissing
        from llmtrace_analysis.collector_client import (
            CertificateRefused,
            CollectorRefused,
            CollectorUnavailable,
            connect,
        )
    try:
        connection.find_admin_key()
        client = connect(connection, timeout=_TIMEOUT_SECONDS)
    except (AdminKeyMissing, ValueError) as error:
        raise click.ClickException(str(error)) from error
    with closing(client):
        try:
            yield client
        except CertificateRefused as error:
            raise click.ClickException(str(error)) from error
        except (CollectorUnavailable, CollectorRefused) as error:
            if error.status:
                raise click.ClickException(
                    f"the collector answered {error.status}: {_detail(error.text)}"
                ) from error
            raise click.ClickException(
                f"no collector answers at {client.url} ({error}): start it with `llmtrace up` or "
                "`llmtrace collector`, or name its settings by --config"
            ) from error


def _detail(text: str) -> str:
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        return text[:500]
    if isinstance(detail, list):  # one entry per field that is wrong
        return "; ".join(f"{field_error['loc'][-1]}: {field_error['msg']}" for field_error in detail)
    return str(detail)
