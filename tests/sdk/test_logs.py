"""The program's own log: with the ids of the active span, whatever its set-up, and nothing that breaks it."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import llmtrace
from llmtrace.capture import log_records
from llmtrace.testing import Answer, Captured, ReplayServer, capture
from tests.spooled import reports

from .chat import PLAIN, REQUEST

CONFIGURATION: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": True,
    "handlers": {"none": {"class": "logging.NullHandler"}},
    "loggers": {"quiet": {"propagate": False, "level": "DEBUG"}, "shop": {"level": "DEBUG"}},
    "root": {"level": "DEBUG", "handlers": ["none"]},
}
SECRET = "sk-proj-0123456789abcdefghijABCDEFGHIJ0123456789abcdefghij"


@pytest.fixture(autouse=True)
def set_up() -> Iterator[None]:
    """As it was afterwards: levels, handlers, which loggers are disabled."""
    root, manager = logging.getLogger(), logging.Logger.manager
    level, handlers = root.level, root.handlers[:]
    loggers = {
        name: (logger.level, logger.propagate, logger.disabled, logger.handlers[:])
        for name, logger in manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    for name, logger in list(manager.loggerDict.items()):
        if isinstance(logger, logging.Logger):
            logger.level, logger.propagate, logger.disabled, logger.handlers[:] = loggers.get(
                name, (logging.NOTSET, True, False, [])
            )
    manager._clear_cache()  # type: ignore[attr-defined]  # levels were set past it


@pytest.fixture
def captured() -> Iterator[Captured]:
    with capture(logs=True, logs_level="DEBUG", logs_per_second=0) as captured_records:
        yield captured_records


def test_a_record_has_the_ids_of_its_span_and_all_it_says(captured: Captured) -> None:
    log = logging.getLogger("shop.orders")
    with llmtrace.context(user_id="u1"), llmtrace.span("order"):
        log.warning("order %s is %s", 7, "late", extra={"order": 7, "lines": ["a", "b"], "ok": False})
    log.warning("outside")
    (span,) = captured.spans()
    inside, outside = captured.logs()
    assert span.context is not None
    assert (inside.trace_id, inside.span_id) == (span.context.trace_id, span.context.span_id)
    assert (outside.trace_id, outside.span_id) == (0, 0)
    assert (inside.body, inside.severity_text, inside.severity_number) == ("order 7 is late", "WARNING", 13)
    assert inside.scope is not None
    assert inside.scope.name == "shop.orders"
    attributes = dict(inside.attributes)
    assert attributes.pop("code.line.number") > 0  # type: ignore[operator]
    assert str(attributes.pop("code.file.path")).endswith("test_logs.py")
    assert attributes == {
        "order": 7,
        "lines": '["a", "b"]',
        "ok": False,
        "code.function.name": "test_a_record_has_the_ids_of_its_span_and_all_it_says",
        "thread.name": "MainThread",
        "user.id": "u1",
    }


def _time_out() -> None:
    raise httpx.ReadTimeout("too slow")


def test_an_exception(captured: Captured) -> None:
    try:
        _time_out()
    except httpx.ReadTimeout:
        logging.getLogger("shop").exception("it failed")
    (record,) = captured.logs()
    assert record.attributes["exception.type"] == "httpx.ReadTimeout"
    assert record.attributes["exception.message"] == "too slow"
    assert "test_logs.py" in str(record.attributes["exception.stacktrace"])
    assert record.severity_number == 17


@pytest.mark.parametrize(
    ("level", "number"),
    [(5, 4), (10, 5), (15, 8), (20, 9), (25, 12), (30, 13), (40, 17), (50, 21), (55, 24), (9999, 24)],
)
def test_severities(level: int, number: int) -> None:
    assert log_records.severity_number(level) == number


def test_set_ups_that_come_later(captured: Captured) -> None:
    """Handlers are removed, a logger does not propagate, one that is disabled says nothing anywhere."""
    early, quiet = logging.getLogger("early"), logging.getLogger("quiet")
    early.setLevel(logging.DEBUG)
    early.debug("before")
    logging.config.dictConfig(CONFIGURATION)
    logging.getLogger().handlers.clear()
    early.error("disabled")
    quiet.debug("does not propagate")
    logging.getLogger("shop").info("without handlers")
    early.disabled = False
    early.error("enabled again")
    assert [record.body for record in captured.logs()] == [
        "before",
        "does not propagate",
        "without handlers",
        "enabled again",
    ]


def test_levels_of_the_program_and_of_the_setting() -> None:
    log = logging.getLogger("shop")
    log.setLevel(logging.WARNING)
    with capture(logs=True, logs_level="ERROR") as captured:
        log.info("not logged")
        log.warning("logged and not sent")
        log.error("sent")
        assert [record.body for record in captured.logs()] == ["sent"]


def test_nothing_without_the_setting_and_after_the_end() -> None:
    log = logging.getLogger("shop")
    with capture() as captured:
        log.error("off")
        assert captured.logs() == []
    with capture(logs=True) as captured:
        llmtrace.shutdown()
        log.error("ended")
    assert captured.logs() == []
    assert "llmtrace" not in logging.Logger.callHandlers.__module__
    assert not hasattr(logging.Logger.callHandlers, "__wrapped__")


def test_a_hook_of_another_on_top_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(logging.Logger, "callHandlers", logging.Logger.callHandlers)  # restored in the end
    with capture(logs=True) as captured:
        below = logging.Logger.callHandlers

        def theirs(logger: logging.Logger, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())
            below(logger, record)

        monkeypatch.setattr(logging.Logger, "callHandlers", theirs)
        logging.getLogger("shop").error("one")
        assert len(captured.logs()) == 1
    logging.getLogger("shop").error("two")
    with capture(logs=True) as captured:
        logging.getLogger("shop").error("three")
        assert [record.body for record in captured.logs()] == ["three"]
    assert seen == ["one", "two", "three"]
    monkeypatch.undo()
    with capture(logs=True) as captured:  # ours went with theirs
        logging.getLogger("shop").error("four")
        assert [record.body for record in captured.logs()] == ["four"]


def test_the_rest_of_a_second_is_counted() -> None:
    log = logging.getLogger("shop")
    with capture(logs=True, logs_per_second=5) as captured:
        for number in range(5000):
            log.error("%d", number)
        sent = captured.logs()
        stats = llmtrace.stats()
    summaries = [record for record in captured._records if "llmtrace.logs.limited" in record.attributes]
    records = [record for record in sent if "llmtrace.logs.limited" not in record.attributes]
    assert 5 <= len(records) <= 100, "five in each second"
    assert stats.logs_limited + len(records) == 5000
    assert (
        sum(int(str(record.attributes["llmtrace.logs.limited"])) for record in summaries)
        == stats.logs_limited
    )
    assert all(record.severity_number == 13 for record in summaries)


def test_no_recursion(captured: Captured) -> None:
    """What sending causes is not sent: our own log, that of what is logged, and that of our requests."""

    class Chatty:
        def __str__(self) -> str:
            logging.getLogger("shop").error("being shown")
            return "chatty"

    logging.getLogger("llmtrace").error("ours")
    logging.getLogger("llmtrace.delivery").error("ours")
    logging.getLogger("shop").error("%s", Chatty())
    # The program's own handlers show it as well, and what that logs is the program's.
    assert [record.body for record in captured.logs()].count("chatty") == 1


_LOGS_ONCE = """
import logging, sys
import llmtrace

class Names(logging.Handler):
    def emit(self, record):
        heard.append(record.name)

heard = []
logging.basicConfig(level="DEBUG", handlers=[Names()])
llmtrace.init(endpoint=sys.argv[1], logs=True, logs_level="DEBUG", spool_dir="off")
logging.getLogger("shop").error("one")
assert llmtrace.flush(10)
assert llmtrace.flush(10)
print(any(name.startswith("urllib3") for name in heard), llmtrace.stats().logs)
"""


def test_no_recursion_of_requests() -> None:
    """In a process of its own: tests before this one set up loggers of urllib3 to their liking."""
    with ReplayServer(Answer(headers={"content-type": "application/x-protobuf"})) as collector:
        program = [sys.executable, "-P", "-c", _LOGS_ONCE, collector.url]
        ended = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout.split() == ["True", "1"], ended.stderr  # our requests are logged, and are no logs


def test_what_cannot_be_shown(captured: Captured) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

        __repr__ = __str__

    log = logging.getLogger("shop")
    log.propagate = False
    log.handlers[:] = [logging.NullHandler()]
    log.error("%d lines", "many")
    log.error("broken", extra={"thing": Broken(), "long": "x" * 10_000, **{f"k{n}": n for n in range(100)}})
    log.error("y" * 100_000)
    log.error("\x1b[31mred\x1b[0m", extra={"color_message": "again"})
    arguments, broken, long, red = captured.logs()
    assert "TypeError" in arguments.body
    assert "RuntimeError" in str(broken.attributes["thing"])
    assert len(str(broken.attributes["long"])) == log_records.MAX_VALUE
    assert len(broken.attributes) <= log_records.MAX_ATTRIBUTES + 4
    assert len(long.body) == log_records.MAX_BODY
    assert red.body == "red"
    assert "color_message" not in red.attributes


def test_events_of_structlog_as_they_come_to_logging(captured: Captured) -> None:
    log = logging.getLogger("shop")
    log.error(json.dumps({"event": "paid", "amount": 7, "level": "error", "timestamp": "now"}))
    log.error({"event": "paid", "amount": 8})
    log.error('{"no": "event"}')
    log.error("{not json}")
    assert [(record.body, record.attributes.get("amount")) for record in captured.logs()] == [
        ("paid", 7),
        ("paid", 8),
        ('{"no": "event"}', None),
        ("{not json}", None),
    ]


def test_secrets_do_not_leave() -> None:
    with capture(logs=True, redact_pii=True, redact=lambda text: text.replace("Ada", "A.")) as captured:
        logging.getLogger("shop").error("key %s of Ada", SECRET, extra={"mail": "ada@example.org"})
        (record,) = captured.logs()
    assert SECRET not in record.body
    assert str(record.body).endswith("of A.")
    assert "ada@" not in str(record.attributes["mail"])


def test_threads_and_a_call_within(captured: Captured) -> None:
    with ReplayServer(PLAIN) as server, llmtrace.span("step"):
        httpx.post(server.url + "/v1/chat/completions", json=REQUEST)
        logging.getLogger("shop").error("after the call")
        thread = threading.Thread(target=logging.getLogger("shop").error, args=("from a thread",), name="t1")
        thread.start()
        thread.join()
    bodies = {
        record.body: record
        for record in captured.logs()
        if record.body in ("after the call", "from a thread")
    }
    step = next(span for span in captured.spans() if span.name == "step")
    assert step.context is not None
    assert bodies["after the call"].span_id == step.context.span_id
    assert bodies["from a thread"].attributes["thread.name"] == "t1"


def test_a_processor_of_structlog(captured: Captured) -> None:
    """Without structlog itself: tests/frameworks has the real one."""
    event = {"event": "paid", "amount": 7, "exc_info": ValueError("no")}
    assert llmtrace.log_processor(object(), "warning", event) is event
    assert llmtrace.log_processor(logging.getLogger("shop"), "warning", event) is event
    (record,) = captured.logs()
    assert (record.body, record.severity_text, record.severity_number) == ("paid", "WARNING", 13)
    assert record.attributes["amount"] == 7
    assert record.attributes["exception.type"] == "ValueError"


FORKED = """
import logging, os, sys
import llmtrace
llmtrace.init(logs=True)
logging.getLogger("shop").error("parent")
child = os.fork()
logging.getLogger("shop").error("child" if child == 0 else "parent again")
llmtrace.flush(10)
if child == 0:
    llmtrace.shutdown()
    os._exit(0)
os.waitpid(child, 0)
"""


def test_after_a_fork(tmp_path: Path) -> None:
    with ReplayServer(Answer(headers={"content-type": "application/x-protobuf"})) as collector:
        environment = {**os.environ, "LLMTRACE_ENDPOINT": collector.url, "LLMTRACE_SPOOL_DIR": str(tmp_path)}
        subprocess.run([sys.executable, "-c", FORKED], env=environment, check=True, timeout=60)
        counted = {}
        for report in reports(collector.requests):
            counted[report["process.pid"]] = (report["logs"], report["dropped"])
    assert sorted(counted.values()) == [(1, 0), (2, 0)]
