"""Call every endpoint of the table and print what was stored of it.

    python -m tests.endpoints                        # all of them
    python -m tests.endpoints --only audio Gemini    # whose family or provider holds one of these
    python -m tests.endpoints --page docs/sdk.md     # and write the table there

Exit status 1 where something else was stored than a row says.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .measured import measure
from .page import table, write_table
from .rows import ENDPOINTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.endpoints",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", default=(), metavar="TEXT")
    parser.add_argument("--page", type=Path, help="write the table into this page of documentation")
    options = parser.parse_args(arguments)
    wanted = [
        endpoint
        for endpoint in ENDPOINTS
        if not options.only or any(text.lower() in endpoint.name.lower() for text in options.only)
    ]
    if options.page is not None and len(wanted) < len(ENDPOINTS):
        parser.error("--page needs every row")
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), wanted)
    faults = []
    for endpoint in wanted:
        for is_stream in (False, True):
            cell = measured.get((endpoint.name, is_stream))
            if cell is not None and (cell.spans, cell.usage, cell.price) != (
                endpoint.spans, dict(endpoint.usage), endpoint.price
            ):  # fmt: skip
                faults.append(f"{endpoint.name}{' (stream)' if is_stream else ''}: {cell}")
    text = table(wanted, measured)
    print(text)
    if options.page is not None:
        write_table(options.page, text)
    for fault in faults:
        print(fault, file=sys.stderr)
    covered = sum(endpoint.send is not None for endpoint in wanted)
    print(
        json.dumps({"rows": len(wanted), "covered": covered, "calls": len(measured), "faults": len(faults)})
    )
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
