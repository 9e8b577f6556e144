"""The served models: loading them at the start, and another version of one while it is being served."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable

from opentelemetry.trace import Tracer

from llmtrace_inference.engine.interface import Engine
from llmtrace_inference.protocol.errors import ApiError
from llmtrace_inference.settings import InferenceSettings

logger = logging.getLogger(__name__)

_DRAIN_POLL_SECONDS = 0.1

LoadEngine = Callable[[str, str, InferenceSettings], Engine]
"""(served name, source, settings) → an engine that is not started yet. Runs in a thread; may take seconds."""


class ModelRegistry:
    """The served engines: their loading, and new versions in their place."""

    def __init__(self, settings: InferenceSettings, load: LoadEngine) -> None:
        self._step_tracer: Tracer | None = None
        self.engines: dict[str, Engine | None] = dict.fromkeys(settings.models)
        self.failed: Exception | None = None
        self._settings = settings
        self._load = load
        self._task: asyncio.Task[None] | None = None
        self._sources = dict(settings.models)
        self._previous: dict[str, str] = {}
        self._changing: set[str] = set()
        self._draining: set[asyncio.Task[None]] = set()

    def begin(self, step_tracer: Tracer | None) -> None:
        self._step_tracer = step_tracer
        self._task = asyncio.get_running_loop().create_task(self._load_all())

    async def _load_all(self) -> None:
        started = time.monotonic()
        for name, source in self._settings.models.items():
            try:
                engine = await self._started(name, source)
            except Exception as error:
                self.failed = error
                if isinstance(error, RuntimeError):  # says by itself what to mend
                    logger.error("could not load model %s: %s", name, error)  # noqa: TRY400
                else:
                    logger.exception("could not load model %s", name)
                return
            self.engines[name] = engine
            logger.info("serving %s", name)
        logger.info("all %d models ready after %.1f s", len(self.engines), time.monotonic() - started)

    async def _started(self, name: str, source: str) -> Engine:
        engine = await _in_daemon_thread(functools.partial(self._load, name, source, self._settings))
        if self._step_tracer is not None:
            engine.trace_steps(self._step_tracer, self._settings.trace_every_step)
        try:
            await engine.start()
        except BaseException:  # it holds memory and threads, and nobody else knows of it
            await engine.close()
            raise
        return engine

    async def replace(self, name: str, source: str) -> Engine:
        """Serve `name` from another source, without a gap: load, warm up, switch, drain the old engine.

        Raises ApiError where that does not work; the old version then goes on as if nothing had been.
        """
        old = self._replaceable(name)
        self._changing.add(name)
        try:
            new = await self._started(name, source)
        except Exception as error:
            logger.exception("model %s: %s could not be loaded; the old version goes on", name, source)
            raise ApiError(
                400, f"the new version cannot be loaded, the old one goes on: {error}", code="load_failed"
            ) from error
        finally:
            self._changing.discard(name)
        self.engines[name] = new
        self._previous[name], self._sources[name] = self._sources[name], source
        task = asyncio.get_running_loop().create_task(self._drain(name, old))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)
        logger.info("model %s: now from %s (%s)", name, source, new.info.weights_hash)
        return new

    async def roll_back(self, name: str) -> Engine:
        """Serve the version before the last `replace` again. Raises ApiError, 409 where there was none."""
        self._replaceable(name)
        if name not in self._previous:
            raise ApiError(409, f"model {name!r} has no earlier version to go back to", code="no_previous")
        return await self.replace(name, self._previous[name])

    def source(self, name: str) -> str:
        """Where a served model is from, as in the settings."""
        return self._sources[name]

    def _replaceable(self, name: str) -> Engine:
        if name not in self.engines:
            raise ApiError(404, f"model {name!r} is not served here", code="model_not_found", param="name")
        engine = self.engines[name]
        if engine is None or name in self._changing:
            raise ApiError(
                409, f"model {name!r} is being loaded: try again", code="model_loading", retry_after_seconds=2
            )
        return engine

    async def _drain(self, name: str, old: Engine) -> None:
        """Let the old engine finish what it has, for as long as a request may take, and close it."""
        deadline = time.monotonic() + self._settings.request_timeout_seconds
        try:
            while old.stats().running or old.stats().waiting:
                if time.monotonic() > deadline:
                    logger.warning("model %s: the old version still had requests; they get a 503", name)
                    break
                await asyncio.sleep(_DRAIN_POLL_SECONDS)
        finally:
            await old.close()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for draining in list(self._draining):
            draining.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)
        running = [engine for engine in self.engines.values() if engine is not None]
        await asyncio.gather(*(engine.close() for engine in running))


async def _in_daemon_thread(work: Callable[[], Engine]) -> Engine:
    """Like to_thread, but a load that takes long does not hold up the exit."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Engine] = loop.create_future()

    def settle(result: Engine | None, error: Exception | None) -> None:
        if done.done():
            return
        if result is not None:
            done.set_result(result)
        else:
            done.set_exception(error or RuntimeError("nothing was loaded"))

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - handed to the awaiting side
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="load-model", daemon=True).start()
    return await done
