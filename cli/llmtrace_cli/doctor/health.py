"""What a running collector says of its own health, and what its store's folder says of one that is not."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from llmtrace.doctor.exporter import reasons_of
from llmtrace.doctor.http_request import send_request
from llmtrace.doctor.result import Result

if TYPE_CHECKING:
    from llmtrace_cli.config.settings import Settings

#: Codes of reasons that are about what is stored: doctor's line about them has this name.
_STORE_CODES = {"parts-broken", "parts-damaged", "rows-missing"}

#: The engine's names of parts that it set aside begin so.
_SET_ASIDE = ("broken", "covered-by-broken", "unexpected")


def collector_health(settings: "Settings") -> Iterator[Result]:
    """Each reason for which the collector is not ready; broken parts are looked for on the disk where it does
    not run.
    """
    url = f"{settings.url_of('collector')}/health/ready"
    response = send_request(url, tls=settings.connection().tls_files())
    reasons = reasons_of(response.body) if response is not None else None
    if reasons is None:
        yield from _set_aside(settings.data_dir / "store")
        return
    for code, text in reasons:
        what, _, remedy = text.partition("; `llmtrace")
        yield Result(
            "stored rows" if code in _STORE_CODES else f"ready: {code}",
            "fail",
            what,
            f"`llmtrace{remedy}" if remedy else f"{code} in docs/operations.md",
        )
    if not any(code in _STORE_CODES for code, _ in reasons):
        yield Result("stored rows", "ok", "every part is whole and every day adds up, as far as is known")
    if not reasons:
        yield Result("ready", "ok", f"{url} has nothing to say")


def _set_aside(store: Path) -> Iterator[Result]:
    parts = [part for part in store.glob("store/*/*/detached/*") if part.name.startswith(_SET_ASIDE)]
    if parts:
        yield Result(
            "stored rows",
            "warn",
            f"{len(parts)} broken parts lie in {parts[0].parent} and the like: the engine set them aside",
            "start the collector and run `llmtrace store check`, which says whether rows are missing",
        )
