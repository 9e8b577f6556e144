"""One engine with several schemas, each in a database of its own: `two_schemas.py STORE_DIRECTORY`.

Reads JSON lines: `{"database": NAME, "creates": [STATEMENT, …]}` makes a schema, each statement as soon as
what it needs is there; `{"database": NAME, "statements": […]}` runs statements in it. Prints a line when each
is done.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import chdb


def create(handle: Any, statements: list[str]) -> None:
    """Run CREATE statements in an order that works. Raises RuntimeError where there is none."""
    waiting = list(statements)
    while waiting:
        failed, error = [], None
        for statement in waiting:
            try:
                handle.query(statement)
            except RuntimeError as reason:
                failed.append(statement)
                error = reason
        if len(failed) == len(waiting):
            raise RuntimeError(f"{len(failed)} statements cannot be run: {error}")
        waiting = failed


def main() -> None:
    """Answer until the input ends."""
    connect: Callable[[str], Any] = chdb.connect
    handle = connect(sys.argv[1])
    for line in sys.stdin:
        order = json.loads(line)
        if "creates" in order:
            handle.query(f"CREATE DATABASE {order['database']}")
            create(handle, order["creates"])
        else:
            handle.query(f"USE {order['database']}")
            for statement in order["statements"]:
                handle.query(statement)
        print("done", flush=True)
    handle.close()


if __name__ == "__main__":
    main()
