"""Quotas of the settings: which calls they are of, and what they allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from llmtrace_analysis.cost.invoices.billed import plain_name

Measure = Literal["tokens", "input_tokens", "output_tokens", "requests", "ptu"]


@dataclass(frozen=True, order=True)
class Caller:
    """Whose calls are counted together at the finest: all of it as spans have it. `model` is what calls ask
    for, which on Azure is the deployment's name; `answering` is the model that answers."""

    project: str
    provider: str
    account: str
    region: str
    address: str
    model: str
    answering: str


@dataclass(frozen=True)
class Quota:
    """One of [[collector.quotas]], as GET /v1/quotas answers it: amounts a minute, None where not set."""

    provider: str
    name: str = ""
    account: str = ""
    region: str = ""
    deployment: str = ""
    model: str = ""
    tokens_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None
    requests_per_minute: float | None = None
    requests_per_10_seconds: float | None = None
    ptus: float | None = None
    tokens_per_minute_per_ptu: float | None = None
    ptu_output_weight: float | None = None

    @property
    def label(self) -> str:
        """What people call it."""
        parts = (self.deployment or self.model, self.region, self.account)
        return self.name or " ".join(part for part in parts if part) or self.provider

    @property
    def amounts(self) -> dict[Measure, float]:
        """Measure → what a minute allows; of PTUs their number."""
        values: dict[Measure, float | None] = {
            "tokens": self.tokens_per_minute,
            "input_tokens": self.input_tokens_per_minute,
            "output_tokens": self.output_tokens_per_minute,
            "requests": self.requests_per_minute or _six(self.requests_per_10_seconds),
            "ptu": self.ptus,
        }
        return {measure: value for measure, value in values.items() if value is not None}

    def holds(self, caller: Caller) -> bool:
        """Whether these calls are counted in it."""
        return (
            caller.provider == self.provider
            and self.account in ("", caller.account)
            and (not self.region or plain_region(self.region) == caller.region)
            and self.deployment in ("", caller.model)
            and (
                not self.model
                or plain_name(self.model) in (plain_name(caller.answering), plain_name(caller.model))
            )
        )


def _six(value: float | None) -> float | None:
    return None if value is None else 6 * value


def plain_region(name: str) -> str:
    """A region's name as paths have it: `East US 2` → `eastus2`."""
    return name.lower().replace(" ", "")


_FIELDS = {field.name for field in fields(Quota)}


def quotas(rows: Sequence[Mapping[str, Any]]) -> list[Quota]:
    """What GET /v1/quotas answers. Fields that a newer collector adds are left out."""
    return [Quota(**{name: value for name, value in row.items() if name in _FIELDS}) for row in rows]
