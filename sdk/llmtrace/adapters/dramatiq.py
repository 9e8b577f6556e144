"""Dramatiq: a message is processed in the trace of who sent it, with that one's user, session and tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llmtrace.api.propagation import extract, inject
from llmtrace.internal_errors import swallow

_OPTION: Final = "llmtrace"
_SENDING: Final = swallow("writing a context into a message")


class Middleware:
    """A middleware that carries the context with each message.

    broker.add_middleware(dramatiq.Middleware())
    """

    actor_options: frozenset[str] = frozenset()
    forks: tuple[Callable[[], int], ...] = ()

    def __init__(self) -> None:
        self._blocks: dict[str, extract] = {}

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Whatever else happens to a broker, a worker or a message."""
        if name.startswith(("before_", "after_")):
            return _nothing
        raise AttributeError(name)

    def before_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
        """A message is sent, or again after a failure: then it has its context already."""
        with _SENDING:
            carrier = inject()
            if carrier:
                message.options.setdefault(_OPTION, carrier)

    def before_process_message(self, broker: Any, message: Any) -> None:
        """A worker begins."""
        carrier = message.options.get(_OPTION)
        block = extract(carrier if isinstance(carrier, dict) else None)
        self._blocks[message.message_id] = block
        block.__enter__()

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        """A worker is done."""
        block = self._blocks.pop(message.message_id, None)
        if block is not None:
            block.__exit__(None, None, None)

    def after_skip_message(self, broker: Any, message: Any) -> None:
        """Another middleware had it left out."""
        self.after_process_message(broker, message)


def _nothing(*arguments: Any, **named: Any) -> None:
    """What is nobody's business here."""
