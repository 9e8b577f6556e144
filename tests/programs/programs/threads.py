"""Calls on other threads than the one that knows whose they are: `threads.py KIND`."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import llmtrace
from tests.programs.programs.calls import ask, label

_USERS = [f"user-{number}" for number in range(6)]


def _threads() -> None:
    for user in _USERS:
        name = label()
        with llmtrace.context(user_id=user), llmtrace.span(name):
            threads = [threading.Thread(target=ask, args=(user, name)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


def _outliving() -> None:
    """The thread goes on when the span under which it started is over: its calls are nobody's then."""
    over = threading.Event()

    def work(user: str, name: str) -> None:
        ask(user, name)
        within.release()
        over.wait(10)
        ask()

    threads = []
    within = threading.Semaphore(0)
    for user in _USERS:
        name = label()
        with llmtrace.context(user_id=user), llmtrace.span(name):
            threads.append(threading.Thread(target=work, args=(user, name)))
            threads[-1].start()
            within.acquire(timeout=10)
    over.set()
    for thread in threads:
        thread.join()


def _submit() -> None:
    with ThreadPoolExecutor(2) as pool:
        for user in _USERS:
            name = label()
            with llmtrace.context(user_id=user), llmtrace.span(name):
                for future in [pool.submit(ask, user, name) for _ in range(2)]:
                    future.result()
        pool.submit(ask).result()


def _map() -> None:
    with ThreadPoolExecutor(3, initializer=time.sleep, initargs=(0.01,)) as pool:
        for user in _USERS:
            name = label()
            with llmtrace.context(user_id=user), llmtrace.span(name):
                list(pool.map(ask, [user] * 3, [name] * 3))


def _multiprocessing() -> None:
    with ThreadPool(2) as pool:
        for user in _USERS:
            name = label()
            with llmtrace.context(user_id=user), llmtrace.span(name):
                pool.starmap(ask, [(user, name)] * 2)
                pool.apply_async(ask, (user, name)).get(10)


def _executor() -> None:
    async def one(user: str) -> None:
        name = label()
        loop = asyncio.get_running_loop()
        with llmtrace.context(user_id=user), llmtrace.span(name):
            await loop.run_in_executor(None, ask, user, name)
            await asyncio.to_thread(ask, user, name)

    async def main() -> None:
        await asyncio.gather(*map(one, _USERS))

    asyncio.run(main())


if __name__ == "__main__":
    llmtrace.init()
    {
        "thread": _threads,
        "outliving": _outliving,
        "submit": _submit,
        "map": _map,
        "multiprocessing": _multiprocessing,
        "executor": _executor,
    }[sys.argv[1]]()
