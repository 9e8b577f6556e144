"""Usage and cost APIs of providers, asked page by page: what they answer is what `invoices` reads.

The command line and the watch ask; it imports settings and the shapes of answers, nothing of the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from types import MappingProxyType

import pandas as pd

from llmtrace_analysis.billing_settings import BillingSource
from llmtrace_analysis.cost.invoices import UnreadableExport, from_answers

from . import anthropic, azure, openai, openrouter
from .client import UsageApiClient, UsageApiError, UsageApiUnavailable
from .pages import Page

__all__ = ["UsageApiError", "UsageApiUnavailable", "billed"]

_Ask = Callable[[UsageApiClient, BillingSource, date, date], list[Page]]
_ASK: Mapping[str, _Ask] = MappingProxyType(
    {
        "openai": openai.pages,
        "anthropic": anthropic.pages,
        "azure": azure.pages,
        "openrouter": openrouter.pages,
    }
)
_NAMES: Mapping[str, Callable[[UsageApiClient, pd.DataFrame], dict[str, str]]] = MappingProxyType(
    {"openai": openai.key_names, "anthropic": anthropic.key_names, "openrouter": openrouter.key_names}
)


def billed(
    sources: Sequence[BillingSource],
    since: date,
    until: date,
    progress: Callable[[str], object] = lambda text: None,
) -> pd.DataFrame:
    """What sources of one provider billed from `since` to before `until`, as `invoices.read` gives it.

    progress: called with a line now and then. Raises UsageApiError where one refuses, UsageApiUnavailable
    where it cannot be asked now: what is known of a part of them is not what was billed.
    """
    frames = []
    for source in sources:
        with UsageApiClient(source, progress) as client:
            pages = _ASK[source.provider](client, source, since, until)
            try:
                data = from_answers(source.provider, pages)
            except UnreadableExport as error:
                raise UsageApiError(f"{client.url}: {error}") from error
            if source.provider in _NAMES and (data["key"] != "").any():
                names = _names(client, source, data, progress)
                data["key_name"] = [names.get(key, "") for key in data["key"]]
        frames.append(data)
    return pd.concat(frames, ignore_index=True)


def _names(
    client: UsageApiClient, source: BillingSource, data: pd.DataFrame, progress: Callable[[str], object]
) -> dict[str, str]:
    """Key id → its name; none where the key may not list keys, for ids do as well."""
    try:
        return _NAMES[source.provider](client, data)
    except (UsageApiError, UsageApiUnavailable) as error:
        progress(f"names of keys are not known: {error}")
        return {}
