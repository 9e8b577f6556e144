"""An attack in a process of its own, which shares no interpreter with those who watch."""

from __future__ import annotations

import multiprocessing
import traceback
from multiprocessing.connection import Connection

from .case import Case, Target

#: How much longer (seconds) than it was meant to an attack may take.
_PATIENCE_SECONDS = 90.0


class AttackFailed(Exception):
    """The server did what it must not, or the attack could not be made."""


class Attack:
    """A case that runs, from now on."""

    def __init__(self, case: Case, target: Target, seconds: float) -> None:
        context = multiprocessing.get_context("fork")
        self._answer, far_end = context.Pipe(duplex=False)
        self._process = context.Process(target=_run, args=(case, target, seconds, far_end), daemon=True)
        self._process.start()
        far_end.close()

    def result(self, seconds: float) -> str:
        """What it saw. Raises AttackFailed."""
        try:
            if not self._answer.poll(seconds + _PATIENCE_SECONDS):
                raise AttackFailed("it did not end")
            is_good, text = self._answer.recv()
        except EOFError as error:
            raise AttackFailed("its process ended") from error
        finally:
            self._process.kill()
            self._process.join()
        if not is_good:
            raise AttackFailed(text)
        return str(text)


def _run(case: Case, target: Target, seconds: float, answer: Connection) -> None:
    try:
        answer.send((True, case.attack(target, seconds)))
    except AssertionError as error:
        answer.send((False, str(error)))
    except Exception:
        answer.send((False, traceback.format_exc()[-1000:]))
