"""What Streamlit's login needs to know: the client of the provider, and what cookies are signed with."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from llmtrace.common.durable_files import make_directory, write_durably
from llmtrace_dashboard.settings import METADATA, DashboardSettings

FILE: Final = "dashboard.secret"
"""The file's name in the data directory."""


class SecretUnusable(ValueError):
    """A secret is absent or empty; the text names its file."""


def login_secrets(settings: DashboardSettings) -> dict[str, Any]:
    """Streamlit's secrets: its section `auth` where people sign in at a provider, else none.

    Raises SecretUnusable.
    """
    if not settings.oidc_issuer:
        return {}
    issuer = settings.oidc_issuer
    return {
        "auth": {
            "redirect_uri": settings.redirect_url,
            "cookie_secret": cookie_secret(settings),
            "client_id": settings.oidc_client_id,
            "client_secret": _client_secret(settings),
            "server_metadata_url": issuer if issuer.endswith(METADATA) else issuer.rstrip("/") + METADATA,
            "client_kwargs": {"scope": " ".join(settings.oidc_scopes), "prompt": "select_account"},
        }
    }


def cookie_secret(settings: DashboardSettings) -> str:
    """What cookies are signed with: the settings', else the file's, made when absent for its owner alone.

    Raises SecretUnusable.
    """
    if settings.cookie_secret is not None:
        return _long_enough(settings.cookie_secret.get_secret_value(), "cookie_secret")
    file = settings.data_dir / FILE
    if not file.exists():
        make_directory(settings.data_dir)
        with suppress(FileExistsError):  # another dashboard has made one at this moment
            write_durably(file, secrets.token_urlsafe(48).encode(), exclusive=True)
    return _long_enough(_read(file), str(file))


def _client_secret(settings: DashboardSettings) -> str:
    if settings.oidc_client_secret_file is not None:
        return _read(settings.oidc_client_secret_file)
    secret = settings.oidc_client_secret
    return secret.get_secret_value() if secret is not None else ""


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SecretUnusable(f"{file} cannot be read ({reason})") from error
    if not text:
        raise SecretUnusable(f"{file} is empty: it must hold a secret")
    return text


def _long_enough(secret: str, place: str) -> str:
    if len(secret) < 32:
        raise SecretUnusable(f"{place} is too short to sign logins with: 32 characters at least")
    return secret
