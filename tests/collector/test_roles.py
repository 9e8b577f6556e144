"""What roles include, and when an endpoint needs no key."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.datastructures import Headers

from llmtrace_collector.access.api_keys import ALLOWS, ApiKeyStore, Role, new_key
from llmtrace_collector.access.auth import Authenticator, ConfiguredKeys, Denied
from llmtrace_collector.store.store import open_store

from .prefilled import prefill


def test_a_role_allows_itself_and_what_it_includes_allows() -> None:
    for role, allowed in ALLOWS.items():
        assert role in allowed
        assert all(ALLOWS[included] <= allowed for included in allowed)
    assert ALLOWS["admin"] == set(ALLOWS)


def test_a_key_of_the_settings_ends_the_sending_without_keys_of_its_own_role_alone(tmp_path: Path) -> None:
    """A key that was made ends it with each role that may send; see the next test."""
    store = open_store(f"chdb://{prefill(tmp_path / 'store')}", 30)
    try:
        keys = ConfiguredKeys(None, None, "admin", "service")
        authenticator = Authenticator(keys, ApiKeyStore(store))
        assert authenticator.admit(Headers({}), "ingest").key_id == ""
        with pytest.raises(Denied):
            authenticator.admit(Headers({}), "service")
    finally:
        store.close()


@pytest.mark.parametrize("closing", ["ingest", "service", "admin"])
def test_a_service_needs_a_key_as_soon_as_senders_do(tmp_path: Path, closing: Role) -> None:
    store = open_store(f"chdb://{prefill(tmp_path / 'store')}", 30)
    try:
        api_keys = ApiKeyStore(store)
        open_to_all = Authenticator(ConfiguredKeys(None, None, "admin"), api_keys)
        assert open_to_all.admit(Headers({}), "service").key_id == ""
        with_ingest_key = Authenticator(ConfiguredKeys("in", None, "admin"), api_keys)
        with pytest.raises(Denied):
            with_ingest_key.admit(Headers({}), "service")
        api_keys.create(new_key("", closing, "first", 0))
        with pytest.raises(Denied):
            open_to_all.admit(Headers({}), "service")
        with pytest.raises(Denied):
            open_to_all.admit(Headers({}), "ingest")
        if closing != "admin":
            assert open_to_all.admit(Headers({}), "read").key_id == ""
    finally:
        store.close()
