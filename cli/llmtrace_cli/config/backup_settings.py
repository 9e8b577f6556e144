"""Settings of backups: the [backup] table of llmtrace.toml."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from llmtrace_cli.durations import seconds_of


class BackupSettings(BaseModel):
    """The table [backup]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directory: Path | None = Field(
        default=None,
        description="Where backups are kept, a folder each; best on another disk. Unset: data_dir/backups of "
        "the collector.",
    )
    every: str = Field(
        default="",
        description="How often `llmtrace up` makes a backup: 12h, 1d; empty: never.",
    )
    keep: int = Field(default=7, ge=1, description="How many backups are kept; older ones are deleted.")
    keep_days: int = Field(
        default=0,
        ge=0,
        description="Days after which a backup is deleted, but for the newest that is whole; 0: only their "
        "number counts.",
    )

    @field_validator("every")
    @classmethod
    def _is_duration(cls, value: str) -> str:
        if value and seconds_of(value) < 60:
            raise ValueError(f"every = {value!r} is too often: write 1m or more, as 12h or 1d")
        return value
