"""The checks of `llmtrace doctor`. Each looks at one thing and says what to do when it is wrong.

They run in the base install too: what needs an optional part is skipped there.
"""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import stat
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from llmtrace.common.admin_key import FILE as ADMIN_KEY_FILE
from llmtrace.common.loopback import is_loopback
from llmtrace.common.tls import TlsFiles
from llmtrace.doctor.exporter import ask, clock
from llmtrace.doctor.http_request import ExporterResponse, send_request
from llmtrace.doctor.result import Result
from llmtrace_cli.healthcheck import healthy
from llmtrace_cli.local_servers import is_free, port_holder

from .health import collector_health

if TYPE_CHECKING:
    from llmtrace_cli.config.settings import PartName, Settings

_PACKAGES = {
    "base": ("opentelemetry-sdk", "opentelemetry-instrumentation-httpx", "opentelemetry-proto"),
    "collector": ("chdb", "clickhouse-connect", "fastapi", "genai-prices"),
    "analysis": ("clickhouse-connect", "pandas", "scipy"),
    "dashboard": ("streamlit", "altair"),
    "inference": ("torch", "transformers"),
    "all": ("mlflow", "honcho", "psutil"),
}
_SERVERS: "Mapping[PartName, int]" = {"collector": 4318, "mlflow": 5000, "dashboard": 8501, "inference": 8000}
_LEAST_DISK = 1 << 30
_ENOUGH_DISK = 5 << 30


def run_all(config_file: Path | None = None, endpoint: str | None = None) -> list[Result]:
    """Run every check. `endpoint` is the collector's URL as applications use it; None finds it as they do."""
    results = [python(), *packages()]
    settings, configuration_result = configuration(config_file)
    results.append(configuration_result)
    data_dir = settings.data_dir if settings is not None else Path(".llmtrace")
    results += [*listening(settings), data_directory(data_dir), disk(data_dir)]
    if settings is not None:
        results += [store(settings), backups(settings), *keys(settings), *collector_health(settings)]
    response, exporter_result = exporter(settings, endpoint)
    return [*results, exporter_result, clock(response)]


def python() -> Result:
    """Which interpreter this is; pip refuses to install llmtrace on one that is too old."""
    version = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Result("python", "ok", version)


def packages() -> Iterator[Result]:
    """Each extra is there whole, or not at all."""
    for extra, names in _PACKAGES.items():
        versions = {name: _version(name) for name in names}
        missing = [name for name, version in versions.items() if version is None]
        installed = ", ".join(
            f"{name} {version}" for name, version in versions.items() if version is not None
        )
        label = f"packages: {extra}"
        install = "pip install llmtrace" if extra == "base" else f"pip install 'llmtrace[{extra}]'"
        if not missing:
            yield Result(label, "ok", installed)
        elif not installed and extra != "base":
            yield Result(label, "skip", f"not installed ({install})")
        else:
            yield Result(
                label, "fail", f"missing {', '.join(missing)}; found {installed or 'nothing'}", install
            )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def configuration(file: Path | None) -> "tuple[Settings | None, Result]":
    """The settings can be read. Returns them too, None when they cannot."""
    if importlib.util.find_spec("pydantic_settings") is None:
        return None, Result("configuration", "skip", "only services have settings; none is installed")
    from llmtrace_cli.config import load

    try:
        settings = load.load(file)
    except load.InvalidSettings as error:
        return None, Result(
            "configuration", "fail", str(error), "`llmtrace config reference` lists what there is"
        )
    source = file or (load.DEFAULT_FILE if load.DEFAULT_FILE.exists() else None)
    return settings, Result("configuration", "ok", f"read from {source}" if source else "no file; defaults")


def listening(settings: "Settings | None") -> Iterator[Result]:
    """Every server's port is free, or already has that server on it."""
    for name, default in _SERVERS.items():
        table = getattr(settings, name, None)
        host, port = getattr(table, "host", "127.0.0.1"), getattr(table, "port", default)
        label = f"port: {name}"
        try:
            free = port == 0 or is_free(host, port)
        except OSError as error:
            yield Result(
                label,
                "fail",
                f"{host} is no address of this machine ({error.strerror})",
                f"set [{name}] host",
            )
            continue
        if free:
            yield Result(label, "ok", f"{port} is free")
            continue
        by = port_holder(port) or "a process that cannot be seen from here"
        if _is_ours(settings, name):
            yield Result(label, "ok", f"{port} has the {name} ({by})")
        else:
            yield Result(
                label,
                "fail",
                f"{port} is taken by {by}, which does not answer as the {name}",
                f"stop it, or set [{name}] port (LLMTRACE_{name.upper()}__PORT)",
            )


def _is_ours(settings: "Settings | None", name: "PartName") -> bool:
    path = {"mlflow": "/health", "dashboard": "/_stcore/health"}.get(name, "/health/live")
    if settings is None:
        return healthy(f"http://127.0.0.1:{_SERVERS[name]}{path}", 3.0)
    return healthy(settings.url_of(name) + path, 3.0, settings.connection().tls_files())


def data_directory(path: Path) -> Result:
    """The data directory, or the one it will be made in, can be written to durably."""
    existing = _existing(path)
    try:
        with tempfile.TemporaryFile(dir=existing) as probe:
            probe.write(b"llmtrace")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return Result(
            "data directory",
            "fail",
            f"{existing.absolute()} cannot be written to ({error.strerror})",
            "give this user the directory, or set data_dir to another (LLMTRACE_DATA_DIR)",
        )
    return Result(
        "data directory", "ok", f"{path.absolute()}{'' if path.exists() else ' (made on first start)'}"
    )


def disk(path: Path) -> Result:
    """There is room for the WAL and the store."""
    free = shutil.disk_usage(_existing(path)).free
    detail = f"{free / (1 << 30):.1f} GiB free"
    if free < _LEAST_DISK:
        return Result("disk", "fail", detail, "free at least 1 GiB, or move data_dir to a larger disk")
    if free < _ENOUGH_DISK:
        return Result(
            "disk", "warn", detail, "traces grow: shorten [collector] retention_days, or get a larger disk"
        )
    return Result("disk", "ok", detail)


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path


def store(settings: "Settings") -> Result:
    """The store is where the settings say: a directory that can be written, or a server that answers."""
    dsn = settings.collector.store_dsn
    parts = urllib.parse.urlsplit(dsn)
    if parts.scheme == "chdb":
        directory = data_directory(Path(parts.path))
        return Result("store", directory.status, f"embedded: {directory.detail}", directory.remedy)
    where = f"{parts.hostname}:{parts.port or 8123}"
    scheme = "https" if parts.scheme.endswith("s") else "http"
    response = send_request(f"{scheme}://{where}/ping")
    if response is not None and response.status == 200:
        return Result("store", "ok", f"ClickHouse answers at {where}")
    problem = f"answers HTTP {response.status}" if response is not None else "does not answer"
    return Result("store", "fail", f"ClickHouse at {where} {problem}", "start it, or mend [collector] store")


def backups(settings: "Settings") -> Result:
    """Where backups are made on a schedule, the newest is not much older than that."""
    from llmtrace_cli.backup.folder import all_backups
    from llmtrace_cli.backup.make import directory_of
    from llmtrace_cli.durations import seconds_of

    directory = directory_of(settings)
    try:
        newest = max(all_backups(directory), key=lambda backup: backup.name, default=None)
    except (OSError, ValueError) as error:
        return Result("backups", "fail", f"{directory} cannot be read: {error}", "mend or remove that folder")
    if newest is None and not settings.backup.every:
        return Result(
            "backups", "skip", f"none in {directory}", "`llmtrace backup`, or [backup] every = '1d' for `up`"
        )
    age = time.time() - newest.made_at if newest is not None else float("inf")
    age_text = f"the newest is {newest.name} ({age / 3600:.1f} h ago)" if newest is not None else "none yet"
    if settings.backup.every and age > 2 * seconds_of(settings.backup.every):
        return Result(
            "backups",
            "fail" if newest is not None else "warn",
            f"one is due every {settings.backup.every}, {age_text}",
            "see what `llmtrace up` or `llmtrace backup --every` logs; `llmtrace backup` says why it cannot",
        )
    return Result("backups", "ok", f"{age_text}, in {directory}")


def keys(settings: "Settings") -> Iterator[Result]:
    """Nothing that others can reach is open, and the admin key is for its owner's eyes."""
    collector = settings.collector
    if is_loopback(collector.host):
        yield Result("keys", "ok", "the collector listens on loopback only")
    elif collector.ingest_key is not None and collector.read_key is not None:
        yield Result("keys", "ok", f"the collector listens on {collector.host} and demands keys")
    else:
        yield Result(
            "keys",
            "fail",
            f"the collector would listen on {collector.host} without keys",
            "set LLMTRACE_COLLECTOR__INGEST_KEY and LLMTRACE_COLLECTOR__READ_KEY, or host = '127.0.0.1'",
        )
    key = collector.data_dir / ADMIN_KEY_FILE
    if not key.exists():
        return
    mode = stat.S_IMODE(key.stat().st_mode)
    if mode & 0o077:
        yield Result(
            "admin key", "fail", f"{key} can be read by others (mode {mode:04o})", f"chmod 600 {key}"
        )
    else:
        yield Result("admin key", "ok", f"{key} (mode {mode:04o})")


def exporter(settings: "Settings | None", endpoint: str | None) -> tuple[ExporterResponse | None, Result]:
    """The collector accepts an empty OTLP request where applications would send theirs."""
    named = endpoint or os.environ.get("LLMTRACE_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    table = getattr(settings, "collector", None)
    own = f"http://127.0.0.1:{_SERVERS['collector']}" if settings is None else settings.url_of("collector")
    tls = TlsFiles() if settings is None else settings.connection().tls_files()
    base = named or own
    label = "exporter"
    url = base.rstrip("/") + "/v1/traces"
    headers: dict[str, str] = {}
    key = os.environ.get("LLMTRACE_API_KEY") or _secret(getattr(table, "ingest_key", None))
    if key:
        headers["Authorization"] = f"Bearer {key}"
    absent = Result(label, "skip", f"nothing listens at {base} yet (`llmtrace up` starts it)")
    mending = {
        401: "set LLMTRACE_API_KEY to the collector's ingest key",
        0: "see the certificates under [dashboard]",
    }
    return ask(url, headers, tls, mending, absent=None if named else absent)


def _secret(value: object) -> str | None:
    reveal = getattr(value, "get_secret_value", None)
    return reveal() if reveal is not None else None
