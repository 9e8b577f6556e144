"""Quotas as people write them: what a provider allows in a minute, and what is reserved there."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .pricing.unit_prices import ProviderName

_AMOUNTS = (
    "tokens_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "requests_per_minute",
    "requests_per_10_seconds",
    "ptus",
)


class Quota(BaseModel):
    """What a provider allows the calls that fit all of provider, account, region, deployment and model, all
    of them together."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(default="", max_length=80, description="What people call it; default: what it is of.")
    provider: ProviderName = Field(
        min_length=1, description="Provider whose quota it is: openai, azure.ai.openai."
    )
    account: str = Field(
        default="", description="Only calls of this account (the mark of an API key); empty: of all together."
    )
    region: str = Field(
        default="", description="Only calls that this region answers: eastus, us-east-1; empty: of all."
    )
    deployment: str = Field(
        default="",
        description="Only calls that ask for exactly this: a deployment's name on Azure, which is the model "
        "that calls ask for; empty: of all.",
    )
    model: str = Field(
        default="",
        description="Only calls of this model, by its name without maker and date: gpt-4o; on Azure that of "
        "the model that answers, whatever deployments are called; empty: of all.",
    )
    tokens_per_minute: float | None = Field(default=None, gt=0, description="Tokens a minute (TPM).")
    input_tokens_per_minute: float | None = Field(
        default=None, gt=0, description="Tokens of input a minute, where they have a limit of their own."
    )
    output_tokens_per_minute: float | None = Field(
        default=None, gt=0, description="Tokens of output a minute, where they have a limit of their own."
    )
    requests_per_minute: float | None = Field(default=None, gt=0, description="Requests a minute (RPM).")
    requests_per_10_seconds: float | None = Field(
        default=None,
        gt=0,
        description="Requests in ten seconds; default: a sixth of requests_per_minute.",
    )
    ptus: float | None = Field(
        default=None, gt=0, description="Units of provisioned throughput (PTU) that are deployed."
    )
    tokens_per_minute_per_ptu: float | None = Field(
        default=None,
        gt=0,
        description="Input tokens a minute that a unit serves; default: what Azure publishes for the model.",
    )
    ptu_output_weight: float | None = Field(
        default=None,
        gt=0,
        description="Input tokens that a token of output counts for; default: what Azure publishes.",
    )

    @model_validator(mode="after")
    def _has_an_amount(self) -> Quota:
        if all(getattr(self, name) is None for name in _AMOUNTS):
            raise ValueError(f"a quota needs at least one of {', '.join(_AMOUNTS)}")
        if self.ptus is None and (self.tokens_per_minute_per_ptu or self.ptu_output_weight):
            raise ValueError("tokens_per_minute_per_ptu and ptu_output_weight need ptus")
        return self
