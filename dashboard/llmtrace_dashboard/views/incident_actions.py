"""What a person may do with an incident, with what goes wrong in words."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from llmtrace_analysis.collector_client import (
    NOBODY,
    Caller,
    CollectorClient,
    CollectorRefused,
    CollectorUnavailable,
    Decision,
    KeyRefused,
    connect,
)
from llmtrace_collector.store.incident import Label
from llmtrace_dashboard.access.people import ANYBODY, Person
from llmtrace_dashboard.settings import DashboardSettings


class ActionFailed(Exception):
    """The incident was not changed; the text says why and how to fix it."""


def act(
    settings: DashboardSettings,
    incident_id: str,
    action: Decision,
    actor: str,
    note: str,
    *,
    visitor: Person = ANYBODY,
    caller: Caller = NOBODY,
) -> None:
    """Acknowledge or resolve an incident. Raises ActionFailed; the same call may be repeated.

    `visitor` says whether it is allowed here; `caller` tells the collector who acts, which then judges anew.
    """

    def decide(client: CollectorClient) -> None:
        client.decide(incident_id, action, actor, note)

    _write(settings, decide, visitor, caller)


def label(
    settings: DashboardSettings,
    incident_id: str,
    label: Label,
    actor: str,
    note: str,
    *,
    visitor: Person = ANYBODY,
    caller: Caller = NOBODY,
) -> None:
    """Say whether an incident was worth opening; an empty label takes it back. Otherwise as `act`."""

    def write(client: CollectorClient) -> None:
        client.label(incident_id, label, actor, note)

    _write(settings, write, visitor, caller)


def _write(
    settings: DashboardSettings, change: Callable[[CollectorClient], None], visitor: Person, caller: Caller
) -> None:
    if not visitor.may("operator"):
        raise ActionFailed("Your role reads only: this needs an operator.")
    if settings.effective_write_key() is None:
        wanted = "dashboard.key" if settings.asks_who else "admin.key"
        raise ActionFailed(
            f"There is no {wanted.replace('.', ' ')}: {settings.data_dir / wanted} does not exist. "
            f"Set LLMTRACE_{wanted.replace('.', '_').upper()}, or data_dir under [dashboard] to the "
            "collector's folder."
        )
    with closing(connect(settings, caller=caller)) as client:
        try:
            change(client)
        except KeyRefused as error:
            if error.status == 403 and caller.name:
                raise ActionFailed("The collector says that your role may not do this.") from error
            whose = "dashboard" if settings.effective_dashboard_key() else "admin"
            raise ActionFailed(
                f"The collector refused the {whose} key. Set LLMTRACE_{whose.upper()}_KEY to the collector's "
                f"own, or data_dir under [dashboard] to the folder with its {whose}.key."
            ) from error
        except CollectorUnavailable as error:
            if error.status:
                raise ActionFailed(f"The collector answered {error.status}: {error.text[:300]}") from error
            raise ActionFailed(
                f"The collector at {settings.collector_url} did not answer ({error}). Is it running? "
                "llmtrace doctor tells."
            ) from error
        except CollectorRefused as error:
            if error.status == 404:
                raise ActionFailed("The collector does not know this incident (any more).") from error
            raise ActionFailed(f"The collector answered {error.status}: {error.text[:300]}") from error
