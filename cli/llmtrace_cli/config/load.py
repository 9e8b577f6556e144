"""The settings of all parts as one frozen object, from one file, the environment and the command line.

Precedence: command line, then environment (LLMTRACE_COLLECTOR__PORT=…), then llmtrace.toml, then the
defaults. This is the only place that reads them; parts are handed their own table.
"""

import difflib
import os
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
)

from llmtrace_cli.terminal import say

from .settings import ENV_DELIMITER, ENV_PREFIX, PartName, Settings, tables

DEFAULT_FILE = Path("llmtrace.toml")


class InvalidSettings(Exception):
    """Settings that cannot be used. The text names each one, where it came from and what would do."""


def load(
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    together: Collection[PartName] = (),
) -> Settings:
    """Read the settings in effect, the parts pointed at each other where they leave that open.

    `path`: the file; None takes ./llmtrace.toml when it exists. `overrides`: the command line's, nested
    as in the file. `together`: the parts that one command is going to run, if it runs several. Former names
    are left out, with a warning on standard error. Raises InvalidSettings.
    """
    file = path if path is not None else (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    in_file = {} if file is None else _without_former(_read(file), str(file))
    command_line = _without_former(overrides or {}, "the command line")

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            environment = _without_former(env_settings(), None)
            return (
                init_settings,
                InitSettingsSource(settings_cls, init_kwargs=environment),
                InitSettingsSource(settings_cls, init_kwargs=in_file),
            )

    try:
        settings = Loaded(**command_line).linked(together)
    except ValidationError as error:
        sentences = [_explain(dict(problem), file, in_file, command_line) for problem in error.errors()]
        raise InvalidSettings("\n".join(sentences)) from error
    except SettingsError as error:
        raise InvalidSettings(f"environment: {error}") from error
    if file is None or _in_environment(("dashboard", "roles")):
        return settings
    return settings.with_roles_of(file)


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError as error:
        raise InvalidSettings(f"{file} does not exist; `llmtrace config init {file}` writes one") from error
    except OSError as error:
        raise InvalidSettings(f"{file} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(f"{file} is not valid TOML: {error}") from error


def _without_former(values: Mapping[str, Any], source: str | None) -> dict[str, Any]:
    """The values without settings that are constants now, each said once on standard error.

    `source`: where they come from; None: the environment, whose variable is named.
    """
    remaining = dict(values)
    for table, model in tables().items():
        former = getattr(model, "FORMER_SETTINGS", {})
        written = values.get(table)
        if not isinstance(written, Mapping) or not former.keys() & written.keys():
            continue
        remaining[table] = {name: value for name, value in written.items() if name not in former}
        for name in former.keys() & written.keys():
            origin = source or env_name((table, name))
            _warn_once(
                f"[{table}] {name} (from {origin}) is no setting any more: {former[name]}. "
                "Remove it: the next release refuses it."
            )
    return remaining


@cache
def _warn_once(text: str) -> None:
    """Say it on standard error, once a process: some commands read the settings more than once."""
    say(f"warning: {text}", err=True)


def _explain(
    problem: dict[str, Any], file: Path | None, in_file: Mapping[str, Any], command_line: Mapping[str, Any]
) -> str:
    """One sentence for one of pydantic's errors: what, where it came from, what would do."""
    location: tuple[int | str, ...] = problem["loc"]
    origin = _origin(location, file, in_file, command_line)
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {setting_name(location)} ({origin}){_nearest(location)}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "value_error" and location and str(location[-1]) in tables():
        return f"[{location[-1]}] {message} ({origin})"
    value_text = "" if _is_secret(location) else f" = {problem['input']!r}"
    return f"{setting_name(location)}{value_text} ({origin}): {message[:1].lower()}{message[1:]}"


def setting_name(location: Sequence[int | str]) -> str:
    """How a setting is written in messages: `[collector] port`, `data_dir`, `[collector] prices[0].input`."""
    parts = [f"[{step}]" if isinstance(step, int) else str(step) for step in location]
    if len(parts) > 1 and parts[0] in tables():
        return f"[{parts[0]}] " + ".".join(parts[1:]).replace(".[", "[")
    return ".".join(parts).replace(".[", "[")


def _origin(
    location: Sequence[int | str],
    file: Path | None,
    in_file: Mapping[str, Any],
    command_line: Mapping[str, Any],
) -> str:
    if _has(command_line, location):
        return "from the command line"
    if file is not None and _has(in_file, location) and not _in_environment(location):
        return f"from {file}"
    return f"from the environment, {env_name(location)}" if _in_environment(location) else "from the defaults"


def env_name(location: Sequence[int | str]) -> str:
    """The environment variable of a setting: LLMTRACE_COLLECTOR__PORT."""
    return ENV_PREFIX + ENV_DELIMITER.join(str(step) for step in location).upper()


def _in_environment(location: Sequence[int | str]) -> bool:
    names = {name.upper() for name in os.environ}
    return any(env_name(location[:depth]) in names for depth in range(len(location), 0, -1))


def _has(values: object, location: Sequence[int | str]) -> bool:
    for step in location:
        try:
            values = values[step]  # type: ignore[index]  # what cannot be indexed has no such setting
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _nearest(location: Sequence[int | str]) -> str:
    """The known setting that was probably meant, or what there is to choose from."""
    wanted, table = str(location[-1]), location[:-1]
    model = _model_at(table)
    here = list(model.model_fields) if model is not None else []
    if near := difflib.get_close_matches(wanted, here, n=1, cutoff=0.5):
        return f": did you mean {setting_name((*table, near[0]))}?"
    elsewhere = {name: key for key, part in tables().items() for name in reversed(part.model_fields)}
    if near := difflib.get_close_matches(wanted, elsewhere, n=1, cutoff=0.75):
        return f": did you mean {setting_name((elsewhere[near[0]], near[0]))}?"
    return f"; known here are {', '.join(here)}" if here else ""


def _model_at(location: Sequence[int | str]) -> type[BaseModel] | None:
    """The model that describes the table at `location`; None where there is none."""
    model: type[BaseModel] | None = Settings
    for step in location:
        if isinstance(step, int):  # an item of a list of tables: the list's model is already found
            continue
        if model is None or step not in model.model_fields:
            return None
        model = next(_models_in(model.model_fields[step].annotation), None)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _is_secret(location: Sequence[int | str]) -> bool:
    names = [step for step in location if isinstance(step, str)]  # an item is as secret as its list
    model = _model_at(names[:-1])
    field = model.model_fields.get(names[-1]) if model is not None and names else None
    return field is not None and is_secret(field.annotation)


def is_secret(annotation: Any) -> bool:
    """Whether a field of this type must never be shown."""
    return annotation is SecretStr or any(is_secret(argument) for argument in get_args(annotation))
