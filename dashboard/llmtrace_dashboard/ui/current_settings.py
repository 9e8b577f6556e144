"""The settings that the pages of this process show, set once by the server."""

from __future__ import annotations

from llmtrace_dashboard.settings import DashboardSettings

_settings: DashboardSettings | None = None


def configure(settings: DashboardSettings) -> None:
    """Set what the pages of this process show."""
    global _settings
    _settings = settings


def current_settings() -> DashboardSettings:
    """The settings given to `configure`, else the defaults."""
    return _settings or DashboardSettings()
