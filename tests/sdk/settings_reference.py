"""What follows from the SDK's settings; `python -m tests.sdk.settings_reference` prints it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from llmtrace.settings import Setting, own_variable, settings

_INDENT = " " * 4


def signature() -> str:
    """The arguments of `init`."""
    return "\n".join(f"{_INDENT}{name}: {annotation(name)} = None," for name in settings())


def annotation(name: str) -> str:
    """The type of an argument: None where it is not passed."""
    item, setting = settings()[name]
    accepted = (setting.accepts or str(item.type)).removesuffix(" | None")
    return f"{accepted} | None"


def documentation() -> str:
    """The part of `init`'s docstring on its arguments."""
    lines: list[str] = []
    for name, (item, setting) in settings().items():
        default = _default(setting, item.default)
        sentence = f"{name}: {setting.help}{f'; default {default}' if default else ''}."
        text = f"{sentence} {setting.more}".strip()
        lines += textwrap.wrap(
            text,
            110,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT * 2,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def table() -> str:
    """The table in docs/sdk.md."""
    rows = ["| argument | environment | default | |", "|---|---|---|---|"]
    for name, (item, setting) in settings().items():
        default = _default(setting, item.default)
        if default and "`" not in default and " " not in default:
            default = f"`{str(default).lower() if isinstance(item.default, bool) else default}`"
        text = f"{setting.help[:1].upper()}{setting.help[1:]}. {setting.more}".strip()
        variables = ", ".join(f"`{variable}`" for variable in _variables(name, setting))
        rows.append(f"| `{name}` | {variables} | {default or 'none'} | {text} |")
    return "\n".join(rows)


def _variables(name: str, setting: Setting) -> Iterator[str]:
    if setting.variable != "none":
        yield own_variable(name)
    yield from setting.otel


def _default(setting: Setting, default: object) -> str:
    """In words; empty for none."""
    if setting.default_in_words is not None:
        return setting.default_in_words
    if isinstance(default, (bool, int)):
        return str(default)
    if isinstance(default, float):
        return f"{default:g}"
    return default if isinstance(default, str) else ""


if __name__ == "__main__":
    print(signature(), documentation(), table(), sep="\n\n")
