"""The one client of the collector's endpoints, for the watch, the dashboard and the command line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import httpx

from llmtrace.common.tls import TlsFiles, certificate_problem

from .settings import CollectorConnection

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from llmtrace_collector.store.incident import Label

logger = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10.0

#: What may stand in a header as it is: printable ASCII but for the mark of the encoding, `%`.
_HEADER_TEXT = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

#: A page waits for this answer.
_SETTLED_SECONDS = 2.0
_SETTLED = """SELECT count() > 0
FROM webhook_deliveries
WHERE has(splitByChar(',', {ids:String}), DeliveryId) AND (Ok OR Attempt = 0)
FORMAT TabSeparated"""

Decision = Literal["acknowledge", "resolve"]
Json = dict[str, Any]


class CollectorUnavailable(Exception):
    """The collector cannot take this now; the same call may succeed later. `status`: 0 without an answer."""

    def __init__(self, message: str, status: int = 0, text: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.text = text


class KeyRefused(CollectorUnavailable):
    """The collector wants another key."""


class CertificateRefused(CollectorUnavailable):
    """The collector's certificate is not trusted, or it wants another of ours; the message has the remedy."""


class CollectorRefused(Exception):
    """The collector refuses this call as it stands; the message says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text[:300]}")
        self.status = status
        self.text = text


@dataclass(frozen=True)
class Caller:
    """Whom a request is for: the person at the dashboard, with a role, and the one project it may touch.

    The collector believes name and role from the dashboard's own key alone. `project` confines any key.
    """

    name: str = ""
    role: str = ""
    project: str = ""

    def headers(self) -> dict[str, str]:
        """The headers that say so; what is empty is not said."""
        values = {
            "X-Llmtrace-Actor": quote(self.name, safe=_HEADER_TEXT)[:200],
            "X-Llmtrace-Actor-Role": self.role,
            "X-Llmtrace-Project": quote(self.project, safe=_HEADER_TEXT),
        }
        return {name: value for name, value in values.items() if value}


NOBODY = Caller()
"""Nobody in particular, and every project that the key may touch."""


def connect(
    collector: CollectorConnection,
    *,
    reading: bool = False,
    timeout: float = _TIMEOUT_SECONDS,
    caller: Caller = NOBODY,
) -> CollectorClient:
    """The client that the settings describe, with the key to change things with, or with the one to read.

    Raises ValueError as CollectorClient does.
    """
    key = collector.effective_read_key if reading else collector.effective_write_key
    return CollectorClient(collector.collector_url, key, collector.tls_files(), timeout, caller)


def connect_reader(collector: CollectorConnection, project: str = "") -> Client:
    """A reader of the store that the settings describe; of one project, where it is named.

    Raises as `open_reader` does; where a certificate is at fault, its OperationalError has the remedy.
    """
    # Slow to import, and not for every command.
    from clickhouse_connect.driver.exceptions import OperationalError

    from llmtrace_collector.store.reader import open_reader

    url, tls = collector.collector_url, collector.tls_files()
    try:
        return open_reader(url, collector.effective_read_key(), tls, Caller(project=project).headers())
    except OperationalError as error:
        if problem := certificate_problem(error, url, tls):
            raise OperationalError(problem) from error
        raise


class CollectorClient:
    """What the collector's endpoints do, one method each; bodies and answers are those of its API.

    Every method raises CollectorUnavailable or CollectorRefused, except where its text says otherwise. Writes
    of incidents and deliveries are idempotent, so each may be repeated.
    """

    def __init__(
        self,
        url: str,
        key: Callable[[], str | None],
        tls: TlsFiles | None = None,
        timeout: float = _TIMEOUT_SECONDS,
        caller: Caller = NOBODY,
    ) -> None:
        """`key` gives the key; asked each time, because the collector may make it after our start.

        `timeout`: seconds to wait for an answer; `caller`: whom the requests are for.
        Raises ValueError when a file of `tls` cannot be used.
        """
        self.url = url.rstrip("/")
        self._key = key
        self._tls = tls or TlsFiles()
        # Proxies of the environment are for others than one's own collector.
        self._client = httpx.Client(
            base_url=self.url,
            timeout=timeout,
            trust_env=False,
            verify=self._tls.context(),
            headers=caller.headers(),
        )

    # Incidents and deliveries

    def put_incident(self, incident_id: str, report: Json) -> None:
        """Write an incident."""
        self._send("PUT", f"/v1/incidents/{_segment(incident_id)}", report)

    def decide(self, incident_id: str, action: Decision, actor: str, note: str) -> None:
        """Acknowledge or resolve an incident."""
        path = f"/v1/incidents/{_segment(incident_id)}/{action}"
        self._send("POST", path, {"actor": actor, "note": note})

    def label(self, incident_id: str, label: Label, actor: str, note: str) -> None:
        """Say whether an incident was worth opening; an empty label takes back what was said."""
        path = f"/v1/incidents/{_segment(incident_id)}/label"
        self._send("POST", path, {"label": label, "actor": actor, "note": note})

    def report_watch(self, report: Json) -> None:
        """Say how far watch is: the body of `POST /v1/watch`."""
        self._send("POST", "/v1/watch", report)

    def add_delivery(self, attempt: Json) -> None:
        """Record an attempt to deliver, or that a delivery was given up."""
        self._send("POST", "/v1/deliveries", attempt)

    def any_settled(self, delivery_ids: Sequence[str]) -> bool:
        """Whether any of these is recorded as delivered or given up. False where the collector is out of
        reach; raises neither.
        """
        params = {"param_ids": ",".join(delivery_ids)}
        try:
            answer = self._request(
                "POST", "/clickhouse", content=_SETTLED.encode(), params=params, timeout=_SETTLED_SECONDS
            )
            return answer.content.strip() == b"1"
        except (CollectorUnavailable, CollectorRefused):
            return False

    # Budgets and prices

    def budgets(self) -> list[Json]:
        """The status of each budget that is near its limit or over it; none before they were counted."""
        try:
            return self._rows("GET", "/v1/budgets", "budgets")
        except (CollectorUnavailable, CollectorRefused) as error:
            if error.status in (404, 503):
                return []
            raise

    def budgets_of(self, **calls: str) -> list[Json]:
        """The status of each budget that concerns such calls: user, project, model, service, account, tag."""
        return self._rows("GET", "/v1/budget", "budgets", params=calls)

    def quotas(self) -> list[Json]:
        """The quotas of the settings, [[collector.quotas]]; none where the collector knows of none."""
        try:
            return self._rows("GET", "/v1/quotas", "quotas")
        except CollectorRefused as error:
            if error.status == 404:  # a collector from before
                return []
            raise

    def set_price(self, price: Json) -> str:
        """Set a price of one's own; the name of the book that holds now."""
        return str(self._send("PUT", "/v1/prices", price)["book"])

    def update_prices(self, prices: list[Json], *, dry_run: bool = False) -> str:
        """Take the installed price list and `prices` into a new book; its name."""
        body = {"prices": prices, "dry_run": dry_run}
        return str(self._send("POST", "/v1/prices/update", body)["book"])

    def set_discount(self, discount: Json) -> str:
        """Set a discount on list prices; the name of the book that holds now."""
        return str(self._send("PUT", "/v1/prices/discounts", discount)["book"])

    def select_book(self, book: str, actor: str, note: str) -> str:
        """Put another price book into effect; its name."""
        body = {"book": book, "actor": actor, "note": note}
        return str(self._send("POST", "/v1/prices/book", body)["book"])

    def set_fixed_cost(self, line_id: str, line: Json) -> str:
        """Keep a fixed line, or replace the one with this id; its id."""
        return str(self._send("PUT", f"/v1/cost/fixed/{_segment(line_id)}", line)["id"])

    def close_month(self, month: str, actor: str) -> Json:
        """Freeze the figures of a month (YYYY-MM) that is over: `cost` in USD and `rows`."""
        return self._send("POST", "/v1/cost/close", {"month": month, "actor": actor})

    # API keys

    def api_keys(self) -> list[Json]:
        """All API keys, without their secrets."""
        return self._rows("GET", "/v1/keys", "keys")

    def create_key(self, key: Json) -> Json:
        """Make an API key; the answer holds its secret, `key`, this once."""
        return self._send("POST", "/v1/keys", key)

    def revoke_key(self, key_id: str) -> None:
        """End an API key."""
        self._send("DELETE", f"/v1/keys/{_segment(key_id)}")

    # The store: size, erasures, backups, quarantine, rows

    def stats(self) -> list[Json]:
        """Rows and bytes of every table."""
        return self._rows("GET", "/v1/stats", "tables")

    def erase(self, user: str, project: str = "", *, dry_run: bool = False) -> Json:
        """Start to erase a user, or only count what would go; the erasure's state."""
        return self._send("POST", "/v1/erasures", {"user": user, "project": project, "dry_run": dry_run})

    def erasure(self, erasure_id: str) -> Json:
        """How far an erasure is."""
        return self._send("GET", f"/v1/erasures/{_segment(erasure_id)}")

    def ledger(self) -> Json:
        """What was received and stored, and what the store holds, by signal; what is wrong with it."""
        return self._send("GET", "/v1/ledger")

    def check_store(self, *, repair: bool = False, backups: str = "") -> Json:
        """Start to check every part of the store, and to repair what is broken, from the backups in a folder
        of the collector's machine too; the check's state.
        """
        return self._send("POST", "/v1/ledger/checks", {"repair": repair, "backups": backups})

    def store_check(self, check_id: str) -> Json:
        """How far a check is."""
        return self._send("GET", f"/v1/ledger/checks/{_segment(check_id)}")

    def backups(self) -> list[Json]:
        """The manifests of the backups that there are."""
        return self._rows("GET", "/v1/backups", "backups")

    def back_up(self) -> Json:
        """Write a backup; its manifest."""
        return self._send("POST", "/v1/backups")

    def restore(self, name: str) -> Json:
        """Fill an empty store from a backup; its manifest."""
        return self._send("POST", f"/v1/backups/{_segment(name)}/restore")

    def quarantine(self) -> list[Json]:
        """What the store refused and what of the log is damaged: name, bytes, reason."""
        return self._rows("GET", "/v1/quarantine", "segments")

    def quarantined(self, name: str) -> Json:
        """One such segment: the whole reason, and the requests in it."""
        return self._send("GET", f"/v1/quarantine/{_segment(name)}")

    def replay(self, name: str) -> None:
        """Give such a segment to the store again."""
        self._send("POST", f"/v1/quarantine/{_segment(name)}/replay")

    def delete_quarantined(self, name: str) -> None:
        """Delete what the quarantine holds under a name."""
        self._send("DELETE", f"/v1/quarantine/{_segment(name)}")

    def query(self, text: str, parameters: Mapping[str, str] | None = None) -> bytes:
        """The answer to a query in the format that it asks for; `parameters` fill its `{name:String}`."""
        from llmtrace_collector.sql_values import encode

        params = {f"param_{name}": encode(value) for name, value in (parameters or {}).items()}
        return self._request("POST", "/clickhouse", content=text.encode(), params=params).content

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _rows(self, method: str, path: str, name: str, params: Mapping[str, str] | None = None) -> list[Json]:
        rows: list[Json] = self._request(method, path, params=params).json()[name]
        return rows

    def _send(self, method: str, path: str, body: Json | None = None) -> Json:
        answer = self._request(method, path, json=body)
        return answer.json() if answer.content else {}

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        key = self._key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            response = self._client.request(method, path, headers=headers, **arguments)
        except httpx.TransportError as error:
            if problem := certificate_problem(error, self.url, self._tls):
                raise CertificateRefused(problem) from error
            raise CollectorUnavailable(f"{type(error).__name__}: {error}") from error
        if response.status_code >= 500 or response.status_code == 429:
            raise CollectorUnavailable(
                f"it answers {response.status_code}", response.status_code, response.text
            )
        if response.status_code in (401, 403):
            raise KeyRefused(
                f"it answers {response.status_code}: it wants the admin key, from LLMTRACE_ADMIN_KEY, "
                "admin_key of the settings or admin.key in data_dir",
                response.status_code,
                response.text,
            )
        if response.is_error:
            raise CollectorRefused(response.status_code, response.text)
        return response


def _segment(text: str) -> str:
    """A name as one segment of a path."""
    return quote(text, safe="")
