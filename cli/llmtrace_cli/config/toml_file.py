"""llmtrace.toml written from the settings' models: every description and default exists once, there."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import tomlkit
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from tomlkit.items import Item

from llmtrace.common.durable_files import write_durably

from .load import env_name
from .settings import Settings, tables

MASK = "********"
_URL_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@/\s]+(@)")
_WIDTH = 100

_HEADER = """\
Settings of llmtrace. Each `# name = value` shows a default: remove the `#` to change it.
The environment wins over this file (LLMTRACE_COLLECTOR__PORT=4319), the command line over both.
"""


def values(settings: BaseModel, *, masked: bool) -> dict[str, Any]:
    """The settings as plain TOML values; unset ones are left out. `masked` hides keys and passwords."""
    plain: dict[str, Any] = {}
    for name in type(settings).model_fields:
        value = _plain(getattr(settings, name), masked=masked)
        if value is not None:
            plain[name] = value
    return plain


def _plain(value: Any, *, masked: bool) -> Any:
    if isinstance(value, BaseModel):
        return values(value, masked=masked)
    if isinstance(value, SecretStr):
        return MASK if masked else value.get_secret_value()
    if isinstance(value, dict):
        return {str(key): _plain(item, masked=masked) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, masked=masked) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(getattr(value, "value", value))  # paths, URLs, enumerations
    return _URL_PASSWORD.sub(rf"\g<1>{MASK}\g<2>", text) if masked else text


def effective(settings: Settings, *, masked: bool = True) -> str:
    """The settings in effect as TOML text."""
    return tomlkit.dumps(values(settings, masked=masked))


def write_private(settings: Settings, path: Path) -> None:
    """Write the settings, secrets included, for the parts to start from; only its owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, effective(settings, masked=False).encode())


def template() -> str:
    """A llmtrace.toml with every setting described and commented out at its default."""
    lines = [*_comment(_HEADER), ""]
    for name, field in Settings.model_fields.items():
        if name not in tables():
            lines += [*_setting(name, field), ""]
    for table, model in tables().items():
        lines += [*_comment((model.__doc__ or "").partition("\n\n")[0]), f"[{table}]", ""]
        lists = []
        for name, field in model.model_fields.items():
            if (row := row_model(field)) is not None:
                lists += [*_list_of_tables(table, name, field, row), ""]
            elif not _inherits_data_dir(name):
                lines += [*_setting(name, field), ""]
        lines += lists
    return "\n".join(lines).rstrip("\n") + "\n"


def reference() -> str:
    """docs/configuration.md: every setting with its type, default, environment variable and meaning."""
    lines = [
        "# Configuration",
        "",
        "<!-- Made by `llmtrace config reference > docs/configuration.md`; a test keeps the two equal. -->",
        "",
        "`llmtrace` reads `llmtrace.toml` in the directory it is run in, or the file named by `--config`.",
        "A variable in the environment wins over the file, an option on the command line over both. A name",
        "that is not listed here is an error, and the message says which known name is nearest.",
        "",
        "    llmtrace config init      # writes llmtrace.toml with everything below, commented out",
        "    llmtrace config show      # what is in effect, keys and passwords hidden",
        "",
        "## Top level",
        "",
        *_table([((name,), f) for name, f in Settings.model_fields.items() if name not in tables()]),
    ]
    for table, model in tables().items():
        fields = list(model.model_fields.items())
        lines += ["", f"## [{table}]", "", " ".join((model.__doc__ or "").split("\n\n")[0].split()), ""]
        lines += _table([((table, name), field) for name, field in fields])
        for name, field in fields:
            if (row := row_model(field)) is not None:
                lines += ["", f"### [[{table}.{name}]]", "", " ".join((row.__doc__ or "").split()), ""]
                lines += _table(
                    [((name,), row_field) for name, row_field in row.model_fields.items()], env=False
                )
    lines += [
        "",
        "## Environment only",
        "",
        "| variable | meaning |",
        "|---|---|",
        "| `LLMTRACE_ADMIN_KEY` | The admin key, instead of the file `admin.key` in the data directory. |",
        "| `LLMTRACE_DASHBOARD_KEY` | The dashboard's key, instead of `dashboard.key` there. |",
        "",
    ]
    return "\n".join(lines)


def _inherits_data_dir(name: str) -> bool:
    """Parts take the common data_dir; showing it once is enough."""
    return name == "data_dir"


def row_model(field: FieldInfo) -> type[BaseModel] | None:
    """The model of one row when the field is a list of tables."""
    if get_origin(field.annotation) in (list, tuple):
        first = get_args(field.annotation)[0]
        if isinstance(first, type) and issubclass(first, BaseModel):
            return first
    return None


def _setting(name: str, field: FieldInfo) -> list[str]:
    default = _default(field)
    example = f"# {name} = {default}" if default is not None else f"# {name} =        (unset)"
    return [*_comment(field.description or ""), example]


def _list_of_tables(table: str, name: str, field: FieldInfo, row: type[BaseModel]) -> Iterator[str]:
    yield from _comment(field.description or "")
    yield f"# [[{table}.{name}]]"
    for key, column in row.model_fields.items():
        default = _default(column)
        yield f"# {key} = {default if default is not None else '…'}    {column.description or ''}".rstrip()


def _default(field: FieldInfo) -> str | None:
    """The default as TOML source; None when the setting is required or unset."""
    value = _plain(field.get_default(call_default_factory=True), masked=True)
    if value is None or field.is_required():
        return None
    item: Item = tomlkit.item(value)
    return item.as_string() if not isinstance(value, dict) else _inline(value)


def _inline(value: dict[str, Any]) -> str:
    inline = tomlkit.inline_table()
    inline.update(value)
    return inline.as_string()


def _comment(text: str) -> list[str]:
    return [f"# {line}" for part in text.splitlines() for line in textwrap.wrap(part, _WIDTH - 2)]


def _table(fields: list[tuple[tuple[str, ...], FieldInfo]], *, env: bool = True) -> list[str]:
    head = ["setting", "type", "default", *(["environment"] if env else []), "meaning"]
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for location, field in fields:
        default = _default(field)
        cells = [
            f"`{location[-1]}`",
            _type_name(field.annotation),
            f"`{default}`" if default is not None else ("required" if field.is_required() else "unset"),
            *([f"`{env_name(location)}`"] if env else []),
            " ".join((field.description or "").split()),
        ]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _type_name(annotation: Any) -> str:
    """A type in the words of a reader of TOML."""
    words = {bool: "boolean", int: "integer", float: "number", str: "text", Path: "path", SecretStr: "secret"}
    if annotation in words:
        return words[annotation]
    arguments = [argument for argument in get_args(annotation) if argument not in (type(None), Ellipsis)]
    origin = get_origin(annotation)
    if origin in (list, tuple, set, frozenset):
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return f"table of {_type_name(arguments[1])}"
    if arguments:
        return " or ".join(dict.fromkeys(_type_name(argument) for argument in arguments))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return (
        f"`{annotation}`" if isinstance(annotation, str) else str(getattr(annotation, "__name__", annotation))
    )
