"""What a person may do with an incident: the collector's endpoints, with their errors in words."""

from __future__ import annotations

import ssl
from typing import Literal
from urllib.parse import quote

import httpx

from .settings import DashboardSettings

Action = Literal["acknowledge", "resolve"]


class ActionFailed(Exception):
    """The incident was not changed; the text says why and how to mend it."""


def act(settings: DashboardSettings, incident_id: str, action: Action, actor: str, note: str) -> None:
    """Acknowledge or resolve an incident. Raises ActionFailed; the same call may be repeated."""
    key = settings.writing_key()
    if key is None:
        raise ActionFailed(
            f"There is no admin key: {settings.data_dir / 'admin.key'} does not exist. "
            "Set LLMTRACE_ADMIN_KEY, or data_dir under [dashboard] to the collector's folder."
        )
    url = f"{settings.collector_url.rstrip('/')}/v1/incidents/{quote(incident_id, safe='')}/{action}"
    try:
        answer = httpx.post(
            url,
            json={"actor": actor, "note": note},
            headers={"Authorization": f"Bearer {key}"},
            timeout=10,
            verify=ssl.create_default_context(),
        )
    except httpx.HTTPError as error:
        raise ActionFailed(
            f"The collector at {settings.collector_url} did not answer ({error}). Is it running? "
            "llmtrace doctor tells."
        ) from error
    if answer.status_code in (401, 403):
        raise ActionFailed(
            "The collector refused the admin key. Set LLMTRACE_ADMIN_KEY to the collector's own, or data_dir "
            "under [dashboard] to the folder with its admin.key."
        )
    if answer.status_code == 404:
        raise ActionFailed("The collector does not know this incident (any more).")
    if answer.is_error:
        raise ActionFailed(f"The collector answered {answer.status_code}: {answer.text[:300]}")
