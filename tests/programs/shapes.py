"""The table of program shapes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, Final

from . import drivers
from .running import RunningProgram
from .shape import PROGRAMS, ProgramShape

Drive = Callable[[RunningProgram], None]

_ASGI: Final = "tests.programs.programs.asgi_app:app"
_WSGI: Final = "tests.programs.programs.wsgi_app:app"
_STREAMS: Final = ("/stream", "/sync-stream", "/answer")


def _script(family: str, name: str, program: str, *arguments: str, **fields: Any) -> ProgramShape:
    return ProgramShape(
        family=family, name=name, command=(str(PROGRAMS / f"{program}.py"), *arguments), **fields
    )


def _exit(name: str, kind: str, **fields: Any) -> ProgramShape:
    return _script("exits", name, "exits", kind, in_docs=True, **fields)


def _uvicorn(name: str, *options: str, drive: Drive, **fields: Any) -> ProgramShape:
    command = ("-m", "uvicorn", _ASGI, "--port", "{port}", *options)
    return ProgramShape(family="servers", name=name, command=command, drive=drive, in_docs=True, **fields)


def _gunicorn(name: str, app: str, *options: str, drive: Drive, **fields: Any) -> ProgramShape:
    command = ("-m", "gunicorn", app, "--bind", "127.0.0.1:{port}", "--workers", "2", *options)
    return ProgramShape(
        family="servers",
        name=name,
        command=command,
        drive=drive,
        environment="workers",
        in_docs=True,
        **fields,
    )


def _celery(name: str, *options: str, drive: Drive, **fields: Any) -> ProgramShape:
    app = ("-A", "tests.programs.programs.celery_app", "worker", "--pool", "prefork", "--concurrency", "2")
    return ProgramShape(
        family="workers",
        name=name,
        command=("-m", "celery", *app, *options),
        drive=drive,
        environment="workers",
        in_docs=True,
        **fields,
    )


_THREADS: Final = (
    _script("threads", "threading.Thread", "threads", "thread", in_gate=True),
    _script("threads", "thread that outlives its span", "threads", "outliving"),
    _script("threads", "ThreadPoolExecutor.submit", "threads", "submit", in_gate=True),
    _script("threads", "ThreadPoolExecutor.map, with an initializer", "threads", "map"),
    _script("threads", "multiprocessing.pool.ThreadPool", "threads", "multiprocessing"),
    _script("threads", "run_in_executor and to_thread", "threads", "executor"),
)
_TASKS: Final = (
    _script("tasks", "asyncio.gather", "tasks", "gather"),
    _script("tasks", "tasks that outlive their span", "tasks", "background"),
    _script("tasks", "cancelled tasks, loop left by an exception", "tasks", "cancelled", returncode=1),
)
_GENERATORS: Final = (
    _script("generators", "generators in turns, one context", "generators", "shared"),
    _script("generators", "generators in turns, contexts of their own", "generators", "own", in_gate=True),
    _script("generators", "context around a stream", "generators", "streams"),
    _script("generators", "async generators", "generators", "asynchronous"),
    _script("generators", "observed generators", "generators", "observed"),
    _script("generators", "stream open at an uncaught exception", "generators", "suspended", returncode=1),
)
_PROCESSES: Final = (
    _script(
        "processes", "fork Pool, left by `with`", "processes", "pool", "fork", in_docs=True, in_gate=True
    ),
    _script("processes", "fork Pool, closed and joined", "processes", "closed", "fork", in_docs=True),
    _script("processes", "spawn Pool, left by `with`", "processes", "pool", "spawn", in_docs=True),
    _script("processes", "fork ProcessPoolExecutor", "processes", "executor", "fork", in_docs=True),
    _script("processes", "spawn ProcessPoolExecutor", "processes", "executor", "spawn", in_docs=True),
    _script("processes", "fork Process", "processes", "process", "fork", in_docs=True),
    _script("processes", "spawn Process", "processes", "process", "spawn", in_docs=True),
    _script("processes", "os.fork, sys.exit in the child", "processes", "fork", "exit", in_docs=True),
    _script(
        "processes", "os.fork, flush and os._exit in the child", "processes", "fork", "flush", in_docs=True
    ),
    _script(
        "processes", "os.fork, os._exit in the child", "processes", "fork", "leave", in_docs=True, is_cut=True
    ),
)
_EXITS: Final = (
    _exit("end of the script", "end"),
    _exit("2-second script", "two seconds"),
    _exit("uncaught exception", "exception", returncode=1),
    _exit("sys.exit", "sys.exit", returncode=3),
    _exit("exception in a thread", "thread fails"),
    _exit("daemon thread still calling", "daemon thread", is_cut=True),
    _exit("atexit of another fails", "failing atexit"),
    _exit("SIGTERM, waiting", "wait", drive=drivers.signalled(signal.SIGTERM), returncode=-15, in_gate=True),
    _exit(
        "SIGTERM, calling on two threads",
        "busy",
        drive=drivers.signalled(signal.SIGTERM, after=0.7),
        returncode=-15,
        in_gate=True,
    ),
    _exit(
        "SIGTERM while it sends at exit",
        "signal amid atexit",
        drive=drivers.signalled(signal.SIGTERM),
        returncode=-15,
    ),
    _exit("Ctrl-C (SIGINT)", "wait", drive=drivers.signalled(signal.SIGINT), returncode=-2, in_gate=True),
    _exit("SIGKILL", "wait", drive=drivers.signalled(signal.SIGKILL), returncode=-9, is_cut=True),
    _exit(
        "SIGKILL, calling",
        "busy",
        drive=drivers.signalled(signal.SIGKILL, after=0.7),
        returncode=-9,
        is_cut=True,
        in_gate=True,
    ),
    _exit("os._exit", "os._exit", returncode=3, is_cut=True, in_gate=True),
    _exit("frozen and thawed", "frozen", drive=drivers.frozen),
    _exit(
        "flush at the end of each invocation, then frozen for good",
        "handler",
        drive=drivers.frozen_for_good,
        returncode=-9,
        is_cut=True,
    ),
)
_SERVERS: Final = (
    _uvicorn("uvicorn", drive=drivers.served(), returncode=-15),
    _uvicorn("uvicorn, streaming answers", drive=drivers.served(signal.SIGTERM, *_STREAMS), returncode=-15),
    _uvicorn("uvicorn, Ctrl-C", drive=drivers.served(signal.SIGINT)),
    _uvicorn("uvicorn --workers 2", "--workers", "2", drive=drivers.served()),
    _uvicorn("uvicorn --workers 2, one killed", "--workers", "2", drive=drivers.worker_killed, is_cut=True),
    _uvicorn(
        "uvicorn --limit-max-requests", "--workers", "2", "--limit-max-requests", "7", drive=drivers.served()
    ),
    _uvicorn("uvicorn --reload", "--reload", "--reload-dir", "{folder}", drive=drivers.reloaded),
    _gunicorn("gunicorn, sync workers", _WSGI, drive=drivers.served()),
    _gunicorn("gunicorn --preload", _WSGI, "--preload", drive=drivers.served()),
    _gunicorn("gunicorn --threads", _WSGI, "--threads", "4", drive=drivers.served()),
    _gunicorn("gunicorn --max-requests", _WSGI, "--max-requests", "5", drive=drivers.served()),
    _gunicorn("gunicorn, worker timed out", _WSGI, "--timeout", "2", drive=drivers.hung),
    _gunicorn(
        "gunicorn, uvicorn workers",
        _ASGI,
        "--worker-class",
        "uvicorn_worker.UvicornWorker",
        drive=drivers.served(signal.SIGTERM, *_STREAMS),
    ),
)
_WORKERS: Final = (
    _celery("Celery prefork", drive=drivers.queued(signal.SIGTERM, every=32)),
    _celery("Celery prefork, stopped amid tasks", drive=drivers.queued(signal.SIGTERM, every=8)),
    _celery(
        "Celery prefork --max-tasks-per-child",
        "--max-tasks-per-child",
        "3",
        drive=drivers.queued(signal.SIGTERM, every=32),
    ),
    _celery("Celery prefork, cold shutdown", drive=drivers.queued(signal.SIGQUIT, every=8)),
)

SHAPES: Final = (*_THREADS, *_TASKS, *_GENERATORS, *_PROCESSES, *_EXITS, *_SERVERS, *_WORKERS)
