"""Where the admin key is looked up, the same for every part."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtrace.common.admin_key import FILE, VARIABLE, AdminKeyMissing, find_admin_key


def test_settings_then_environment_then_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / FILE).write_text("of the file\n")
    monkeypatch.delenv(VARIABLE, raising=False)
    assert find_admin_key(tmp_path) == "of the file"
    monkeypatch.setenv(VARIABLE, " of the environment\n")
    assert find_admin_key(tmp_path, "") == "of the environment"
    assert find_admin_key(tmp_path, "of the settings") == "of the settings"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff"])
def test_without_one_both_places_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.setenv(VARIABLE, " ")
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(AdminKeyMissing) as missing:
        find_admin_key(tmp_path)
    assert VARIABLE in str(missing.value)
    assert str(tmp_path / FILE) in str(missing.value)
