"""Settings of who may sign tokens that stand for keys: the [[collector.issuers]] tables of llmtrace.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from llmtrace.common.loopback import is_loopback

#: What a token may be. Neither `none` nor HS*: a provider's secret is nothing that a collector should know.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]

#: What a token may stand for. The dashboard's key is a file, not a token: it speaks for people.
TokenRole = Literal["ingest", "read", "service", "admin"]

#: As a project is named where it stands for every project; no claim can say that.
EVERY_PROJECT = "*"


def _as_tuple(value: Any) -> Any:
    """A text where a list of them may stand."""
    return (value,) if isinstance(value, str) else value


class TokenIssuer(BaseModel):
    """A provider whose tokens (JWT) are taken as keys, and what they may do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Short name: its tokens' key ids are jwt:NAME:SUBJECT."
    )
    issuer: str = Field(min_length=1, max_length=1024, description="The claim `iss`, letter by letter.")
    audience: tuple[str, ...] = Field(
        min_length=1, description="A token's `aud` must name one of these: what it was made for."
    )
    jwks: str = Field(
        default="",
        description="Address of the public keys (https), or the path of a file with them; empty: as "
        "ISSUER/.well-known/openid-configuration says.",
    )
    algorithms: tuple[Algorithm, ...] = Field(
        default=("RS256", "ES256"), min_length=1, description="Signatures that are accepted."
    )
    leeway_seconds: float = Field(
        default=30, ge=0, le=300, description="How far clocks may differ at a token's beginning and end."
    )
    max_lifetime_seconds: int = Field(
        default=86_400, ge=1, le=366 * 86_400, description="Tokens that are made for longer are refused."
    )
    required: dict[str, tuple[str, ...]] = Field(
        default={},
        description="Claims that a token must have: { sub = 'system:serviceaccount:shop:*' }; a * at the end "
        "stands for any further text, a list for any of its texts.",
    )
    project: str = Field(
        default="",
        pattern=r"^(\*|[A-Za-z0-9_.:@/-]{1,128})?$",
        description="Project of tokens without project_claim; '*': every project.",
    )
    project_claim: tuple[str, ...] = Field(
        default=(),
        description="Claim that names the project; a list of names leads into nested claims: "
        "['kubernetes.io', 'namespace'].",
    )
    role: TokenRole | None = Field(
        default=None,
        description="What tokens without role_claim may do: ingest, read, service or admin; unset: nothing.",
    )
    role_claim: tuple[str, ...] = Field(
        default=(),
        description="Claim, or nested claims, with what `roles` is about: a text or a list of them.",
    )
    roles: dict[str, TokenRole] = Field(
        default={}, description="What each value of role_claim may do; a token with none of them is refused."
    )
    requests_per_minute: int = Field(
        default=0, ge=0, le=10_000_000, description="Most requests a minute of each subject; 0: no limit."
    )
    certificate: Path | None = Field(
        default=None, description="PEM file with the authority of the provider's certificate."
    )
    token_file: Path | None = Field(
        default=None,
        description="File with the token that is sent to the provider for its keys, as Kubernetes asks; read "
        "anew each time.",
    )

    @field_validator("audience", "project_claim", "role_claim", mode="before")
    @classmethod
    def _text_or_list(cls, value: Any) -> Any:
        return _as_tuple(value)

    @field_validator("required", mode="before")
    @classmethod
    def _texts_or_lists(cls, value: Any) -> Any:
        return {name: _as_tuple(texts) for name, texts in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _is_complete(self) -> TokenIssuer:
        if not self.project and not self.project_claim:
            raise ValueError(
                f"issuer {self.name}: say by project or project_claim which project its tokens are for; "
                "project = '*' is every project"
            )
        if bool(self.role_claim) != bool(self.roles):
            raise ValueError(f"issuer {self.name}: role_claim and roles belong together")
        if self.role is None and not self.roles:
            raise ValueError(
                f"issuer {self.name}: say by role, or role_claim and roles, what its tokens may do"
            )
        if self.jwks.startswith(("http://", "https://")):
            demand_secure(self.jwks, f"issuer {self.name}: jwks")
        elif self.jwks:
            if not Path(self.jwks).is_absolute():
                raise ValueError(
                    f"issuer {self.name}: jwks = {self.jwks!r} should be an https address or an absolute path"
                )
        else:
            demand_secure(self.issuer, f"issuer {self.name}: issuer")
        return self

    @property
    def grants(self) -> frozenset[TokenRole]:
        """Every role that some token of it may have."""
        return frozenset(self.roles.values()) | ({self.role} if self.role is not None else frozenset())


def demand_secure(url: str, what: str) -> None:
    """Raise ValueError where what `url` gives could be another's: it is neither https nor this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise ValueError(f"{what} = {url[:200]!r} is no address: {error}") from error
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        raise ValueError(f"{what} = {url[:200]!r} should be an https address (http is for loopback alone)")
