"""What a person may do with an incident, with what goes wrong in words."""

from __future__ import annotations

from contextlib import closing

from llmtrace_analysis.collector_client import (
    CollectorRefused,
    CollectorUnavailable,
    Decision,
    KeyRefused,
    connect,
)
from llmtrace_dashboard.settings import DashboardSettings


class ActionFailed(Exception):
    """The incident was not changed; the text says why and how to fix it."""


def act(settings: DashboardSettings, incident_id: str, action: Decision, actor: str, note: str) -> None:
    """Acknowledge or resolve an incident. Raises ActionFailed; the same call may be repeated."""
    if settings.effective_admin_key() is None:
        raise ActionFailed(
            f"There is no admin key: {settings.data_dir / 'admin.key'} does not exist. "
            "Set LLMTRACE_ADMIN_KEY, or data_dir under [dashboard] to the collector's folder."
        )
    with closing(connect(settings)) as client:
        try:
            client.decide(incident_id, action, actor, note)
        except KeyRefused as error:
            raise ActionFailed(
                "The collector refused the admin key. Set LLMTRACE_ADMIN_KEY to the collector's own, or "
                "data_dir under [dashboard] to the folder with its admin.key."
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
