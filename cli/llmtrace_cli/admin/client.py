"""A running collector, asked with the admin key: what the commands for administrators share."""

import os
from typing import Any

import click
import requests

from llmtrace_cli.config.read_settings import read_settings


class AdminClient:
    """The collector that the settings name. Failures are click.ClickExceptions with its own words."""

    def __init__(self, context: click.Context) -> None:
        from llmtrace_cli.local_servers import local_url

        collector = read_settings(context, "collector").collector
        certificate = collector.tls_certificate
        self.url = local_url(collector.host, collector.port, certificate is not None)
        self._verify: str | bool = True if certificate is None else str(certificate)
        self._key = self._find_key(collector)

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """The JSON answer of an endpoint."""
        return self.send(method, path, json=body, params=params).json()

    def send(self, method: str, path: str, *, stream: bool = False, **arguments: Any) -> requests.Response:
        """The answer of an endpoint, once it is known to be good."""
        try:
            with requests.Session() as session:
                session.trust_env = False  # loopback is not reached through a proxy
                response = session.request(
                    method,
                    self.url + path,
                    headers={"authorization": f"Bearer {self._key}"},
                    verify=self._verify,
                    stream=stream,
                    timeout=600,
                    **arguments,
                )
        except requests.RequestException as error:
            raise click.ClickException(
                f"no collector answers at {self.url} ({type(error).__name__}): start it with "
                "`llmtrace up` or `llmtrace collector`, or name its settings by --config"
            ) from error
        if response.status_code >= 400:
            raise click.ClickException(f"the collector answered {response.status_code}: {_detail(response)}")
        return response

    def _find_key(self, collector: Any) -> str:
        if collector.admin_key is not None:
            return str(collector.admin_key.get_secret_value())
        if admin_key := os.environ.get("LLMTRACE_ADMIN_KEY"):
            return admin_key
        path = collector.data_dir / "admin.key"
        try:
            return str(path.read_text().strip())
        except OSError as error:
            raise click.ClickException(
                f"the admin key is needed and {path} cannot be read ({error.strerror}): run this where the "
                "collector's data_dir is, or set LLMTRACE_ADMIN_KEY"
            ) from error


def _detail(response: requests.Response) -> str:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return response.text[:500]
    if isinstance(detail, list):  # one entry per field that is wrong
        return "; ".join(f"{field_error['loc'][-1]}: {field_error['msg']}" for field_error in detail)
    return str(detail)
