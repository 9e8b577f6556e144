"""Settings of whom to ask what was billed: the rows of [[watch.billing]]."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from llmtrace.common.loopback import is_loopback
from llmtrace.common.tls import TlsFiles

BillingProvider = Literal["openai", "anthropic", "azure", "openrouter"]

_BASE_URLS: Mapping[str, str] = MappingProxyType(
    {
        "openai": "https://api.openai.com",
        "anthropic": "https://api.anthropic.com",
        "azure": "https://management.azure.com",
        "openrouter": "https://openrouter.ai",
    }
)
_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "openai": "OPENAI_ADMIN_KEY",
        "anthropic": "ANTHROPIC_ADMIN_KEY",
        "azure": "AZURE_MANAGEMENT_TOKEN",
        "openrouter": "OPENROUTER_MANAGEMENT_KEY",
    }
)
_WANTED: Mapping[str, str] = MappingProxyType(
    {
        "openai": "an admin key of the organisation (sk-admin-…) that may read usage; keys of projects "
        "may not",
        "anthropic": "an Admin API key of the organisation (sk-ant-admin…); keys of workspaces may not",
        "azure": "a bearer token for https://management.azure.com of somebody with the role Cost Management "
        "Reader on the scope; tokens last about an hour",
        "openrouter": "a management key; keys for completions may not",
    }
)


class KeyMissing(ValueError):
    """There is no key for a usage API; the message says where it could be."""


class BillingSource(BaseModel):
    """A provider, or one organisation of it, whose usage API is asked what it billed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: BillingProvider = Field(description="openai, anthropic, azure or openrouter.")
    key: SecretStr | None = Field(
        default=None,
        description="Key that may read usage: an admin key of OpenAI or Anthropic, a management key of "
        "OpenRouter, a bearer token of Azure.",
    )
    key_file: Path | None = Field(
        default=None,
        description="File with that key, read anew for each check, so that a token may be renewed there.",
    )
    key_variable: str = Field(
        default="",
        description="Variable of the environment with that key. Unset: OPENAI_ADMIN_KEY, "
        "ANTHROPIC_ADMIN_KEY, AZURE_MANAGEMENT_TOKEN or OPENROUTER_MANAGEMENT_KEY.",
    )
    base_url: str = Field(
        default="",
        description="Where the API is, if not at the provider itself; https, but for this machine.",
    )
    certificate: Path | None = Field(
        default=None, description="PEM file of an authority to trust besides this machine's."
    )
    scope: str = Field(
        default="", description="Azure: whose costs, /subscriptions/ID or a resource group's path."
    )
    accounts: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="The provider's key id, or name (Azure: resource id) → the accounts of its traced calls "
        '(llmtrace cost report --by account): { key_abc = "key-0123456789ab" }.',
    )

    @field_validator("accounts", mode="before")
    @classmethod
    def _lists(cls, accounts: Any) -> Any:
        if not isinstance(accounts, Mapping):
            return accounts
        return {name: [value] if isinstance(value, str) else value for name, value in accounts.items()}

    @field_validator("base_url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must be a https:// address with a host")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError("must be https: the key is sent there")
        return url

    @property
    def effective_base_url(self) -> str:
        """Where the API is, without a slash at the end."""
        return (self.base_url or _BASE_URLS[self.provider]).rstrip("/")

    @property
    def wanted_key(self) -> str:
        """What kind of key the API wants, in words."""
        return _WANTED[self.provider]

    @property
    def key_origin(self) -> str:
        """Where the key comes from, in words."""
        if self.key is not None:
            return "[[watch.billing]] key"
        return str(self.key_file) if self.key_file is not None else f"${self._variable}"

    def find_key(self) -> str:
        """The key in effect. Raises KeyMissing."""
        text = ""
        if self.key is not None:
            text = self.key.get_secret_value()
        elif self.key_file is not None:
            try:
                text = self.key_file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise KeyMissing(f"key_file {self.key_file} cannot be read: {error}") from error
        else:
            text = os.environ.get(self._variable, "")
        key = text.strip()
        if not key or not key.isascii() or not key.isprintable():
            raise KeyMissing(
                f"there is no key in {self.key_origin} to ask {self.provider} what it billed: set "
                f"{self._variable}, or key or key_file of [[watch.billing]]; it wants {self.wanted_key}"
            )
        return key

    def tls_files(self) -> TlsFiles:
        """What to trust over TLS."""
        return TlsFiles(self.certificate)

    @property
    def _variable(self) -> str:
        return self.key_variable or _VARIABLES[self.provider]
