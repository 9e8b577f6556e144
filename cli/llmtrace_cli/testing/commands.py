"""`llmtrace test from-trace`: a pytest file of a production trace."""

from __future__ import annotations

import re
from pathlib import Path

import click

from llmtrace_cli.extras import needs
from llmtrace_cli.query.store_reader import collector_option, store_reader
from llmtrace_cli.terminal import say

_ID = re.compile(r"(?:.*[?&]trace=)?([0-9a-fA-F]{32})(?:&.*)?")
_CALL = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


@click.group(
    epilog="""\b
Examples:
  llmtrace test from-trace 4bf92f3577b34da6a3ce929d0e0e4736
"""
)
def test() -> None:
    """Tests of your program, made of what was recorded."""


@test.command(
    "from-trace",
    epilog="""\b
Examples:
  llmtrace traces status:failed --since 1h                      find the trace
  llmtrace test from-trace 4bf92f3577b34da6a3ce929d0e0e4736     write test_trace_4bf92f35.py
  llmtrace test from-trace 4bf92f3577b34da6a3ce929d0e0e4736 --out tests/test_refund.py
  llmtrace test from-trace 4bf92f3577b34da6a3ce929d0e0e4736 --call shop.agent:answer
  llmtrace test from-trace 4bf92f3577b34da6a3ce929d0e0e4736 --expect "'refund' in result"
  pytest test_trace_4bf92f35.py                                 run it: no network, no keys

\b
Exit status: 0 when the file is written, 1 when it cannot be, 2 for a command that is written wrong.
What the file needs and can: docs/sdk.md, "In your tests".
""",
)
@click.argument("trace_id", metavar="ID")
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write.  [default: test_trace_<begin of the id>.py]",
)
@click.option("--force", is_flag=True, help="Write over a file that exists.")
@click.option(
    "--call", help="The function to call, module:function.  [default: the one that the trace began with]"
)
@click.option(
    "--expect",
    multiple=True,
    help="What is asserted: ok, recovered or failed, or a Python expression about `result`.  [default: ok]",
)
@click.option(
    "--allow-incomplete", is_flag=True, help="Write the test though answers are cut, redacted or missing."
)
@collector_option
@click.option("--key", help="Read key.  [default: dashboard.read_key of the settings]")
@click.pass_context
def from_trace(
    context: click.Context,
    /,
    trace_id: str,
    out: Path | None,
    force: bool,
    call: str | None,
    expect: tuple[str, ...],
    allow_incomplete: bool,
    url: str | None,
    key: str | None,
) -> None:
    """Write a pytest file that plays the recorded answers of trace ID to your program again.

    The test calls the function that the trace began with, gives its requests the answers that the models gave
    in production, and asserts that the trace of that run is ok. It runs without network and without keys. The
    answers' texts are in the file: treat it as you treat the recorded data.
    """
    with needs("analysis"):
        from llmtrace_analysis.queries.recorded_trace import recorded_trace

    from .trace_test import NothingToReplay, checked_expression, trace_test

    match = _ID.fullmatch(trace_id.strip())
    if match is None:
        raise click.BadParameter(
            f"{trace_id!r} is no id of a trace; write its 32 hexadecimal digits, or its dashboard address",
            param_hint="ID",
        )
    identifier = match[1].lower()
    if call is not None and not _CALL.fullmatch(call):
        raise click.BadParameter(f"{call!r} is no function; write module:function", param_hint="--call")
    try:
        expectations = [checked_expression(expression) for expression in expect]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expect") from error
    file = out or Path(f"test_trace_{identifier[:8]}.py")
    if file.exists() and not force:
        raise click.ClickException(f"{file} exists; --force writes over it, --out names another")
    with store_reader(context, url, key) as client:
        spans = recorded_trace(client, identifier)
    if not spans:
        raise click.ClickException(
            f"the collector has no trace {identifier}, or not for this key: 'llmtrace traces --since 7d' "
            "lists those that it has; a trace is there some seconds after it ended"
        )
    try:
        written = trace_test(
            identifier, spans, call=call, expect=expectations, allow_incomplete=allow_incomplete
        )
    except NothingToReplay as error:
        raise click.ClickException(f"no test can be made of {identifier}: {error}") from error
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(written.text, encoding="utf-8")
    say(f"wrote {file}: run it with pytest")
    for note in written.notes:
        say(f"note: {note}", err=True)
