"""The embedded engine's own access control: the files of configuration that it is opened with.

The engine has one user there. Readers and owner are told apart by the scope of their handle, which is its
setting `log_comment`: it is set before the handle becomes `readonly`, and stays. Every table has a filter
that asks for it. What is not named here is the owner's alone, tables that are made later too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from llmtrace.common.durable_files import write_durably

from .catalogue import BY_NAME, CATALOGUE, Kind
from .database import DATABASE

#: The files, in the store's directory.
CONFIG, _USERS = "config.xml", "users.xml"

#: The scope of the collector's own handles, and that of a reader of every project.
OWNER, EVERY_PROJECT = "", "*"

#: Threads that the engine keeps for later. By itself it keeps a thousand, each with three descriptors and
#: memory of its own; one more query at a time than ever before makes more of them, days after the start.
_IDLE_THREADS = 32

_PROJECT = "p:"

_SCOPE = "getSetting('log_comment')"
_OWNERS = f"{_SCOPE} = '{OWNER}'"
_EVERYONES = "1"

#: Every table of a database that has no filter of its own.
_OTHERS = ""

#: What tells nothing of anybody: `SELECT 1` reads `one`.
_OF_SYSTEM = ("one", "numbers", "settings")
_TABLE_FUNCTIONS = ("numbers", "values")

#: What the collector does in its own databases: those of the schema's trials have a number after their name.
_WORK = "SELECT, INSERT, ALTER, CREATE, DROP, TRUNCATE, OPTIMIZE"
_GRANTS = (
    f"GRANT {_WORK} ON {DATABASE}.*",
    f"GRANT {_WORK} ON {DATABASE}_scratch_*.*",
    # Where releases before had the store.
    f"GRANT {_WORK} ON default.*",
    # What lies on the disk is checked part by part.
    f"GRANT CHECK ON {DATABASE}.*",
    "GRANT SELECT ON system.*",
    "GRANT CREATE FUNCTION, DROP FUNCTION, SYSTEM JEMALLOC ON *.*",
    # Segments are examined and backups are loaded by the table function `file`.
    "GRANT READ ON FILE",
)


def scope_of(project: str) -> str:
    """The scope of a reader of `project`, '' for a reader of every project."""
    return f"{_PROJECT}{project}" if project else EVERY_PROJECT


def filters() -> dict[str, dict[str, str]]:
    """Database → table or view → the condition for the rows that a handle sees there; '' stands for every
    name that has none of its own.
    """
    return {
        DATABASE: {_OTHERS: _OWNERS, **{name: _filter(name, rows) for name, rows in filtered().items()}},
        "default": {_OTHERS: _OWNERS},
        "system": {_OTHERS: _OWNERS, **dict.fromkeys(_OF_SYSTEM, _EVERYONES)},
        # What a table function reads has no other place: files too, by whatever way they are named.
        "_table_function": {_OTHERS: _OWNERS, **dict.fromkeys(_TABLE_FUNCTIONS, _EVERYONES)},
    }


def filtered() -> Mapping[str, str]:
    """Table or view → the condition for one project's rows, with `{project}` for its name as SQL; the others
    are no reader's.
    """
    return {entry.name: entry.filter for entry in CATALOGUE if entry.filter is not None}


def _filter(name: str, rows: str) -> str:
    if BY_NAME[name].kind is Kind.VIEW:
        # It is read as whoever asks: the tables behind it hold, and to filter its rows again takes time.
        return _EVERYONES
    own = rows.replace("{project}", f"substring({_SCOPE}, {len(_PROJECT) + 1})")
    # In as few calls as can be, since the engine analyses them anew for each table of each query: of the
    # three scopes that there are, only those of owner and every project stand before any 'p:'.
    return f"{_SCOPE} <= '{EVERY_PROJECT}' OR {own}"


def write_configuration(folder: Path, known_as: str, storage: Iterable[Element] = ()) -> None:
    """Write the engine's files into `folder`, which the engine knows by another name, in place of those of a
    start before; `storage` is what the configuration says of disks. Raises OSError where that cannot be.
    """
    write_durably(folder / _USERS, users_xml())
    write_durably(folder / CONFIG, config_xml(f"{known_as}/{_USERS}", storage))


def config_xml(users: str, storage: Iterable[Element] = ()) -> bytes:
    """The engine's configuration; `users` is the file of its users."""
    root = Element("clickhouse")
    SubElement(root, "users_config").text = users
    SubElement(root, "max_thread_pool_free_size").text = str(_IDLE_THREADS)
    root.extend(storage)
    return _text(root)


def users_xml() -> bytes:
    """The engine's one user: what the collector may do, and which rows each handle sees."""
    root = Element("clickhouse")
    SubElement(SubElement(root, "profiles"), "default")
    SubElement(SubElement(root, "quotas"), "default")
    user = SubElement(SubElement(root, "users"), "default")
    SubElement(user, "password")
    SubElement(SubElement(user, "networks"), "ip").text = "::/0"
    SubElement(user, "profile").text = "default"
    SubElement(user, "quota").text = "default"
    databases = SubElement(user, "databases")
    for database, tables in filters().items():
        place = SubElement(databases, "database", name=database)
        for table, condition in tables.items():
            SubElement(SubElement(place, "table", name=table), "filter").text = condition
    _add_all(SubElement(user, "grants"), "query", _GRANTS)
    return _text(root)


def _add_all(parent: Element, tag: str, texts: Iterable[str]) -> None:
    for text in texts:
        SubElement(parent, tag).text = text


def _text(root: Element) -> bytes:
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))
