"""Clocks that jump. Python's clock is moved by faketime; the embedded engine, linked to a C library of its
own,
keeps the true one, so that the two also differ from one another.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from .case import Case, Scene, wait_until
from .injectors import clock_moved
from .oracles import settle, worry_of
from .senders import INJECTION, send_spans

_DAY: Final = 86_400


def _jump(seconds: int, scene: Scene) -> None:
    """The clock jumps, and back: nothing is lost, and what is stored is counted."""
    collector = scene.collector()
    assert collector.start(), collector.output[-1000:]
    ids = send_spans(collector.port, 100)
    collector.stop()
    is_up = collector.start(clock_moved(seconds))
    scene.expect(
        "recovered", is_up, f"no start with a clock {seconds:+d} s off: {collector.output.strip()[-200:]}"
    )
    if is_up:
        if abs(seconds) <= _DAY:
            # Further off, the engine's retention, which goes by the true clock, removes them at once.
            start = time.time_ns() + (seconds - 2) * 1_000_000_000
            ids |= send_spans(collector.port, 50, start=start)
        time.sleep(1.5)
        scene.note(f"with the clock {seconds:+d} s off: {worry_of(collector)[:200] or 'ready'}")
        collector.stop()
    assert collector.start(), collector.output[-1000:]
    ids |= send_spans(collector.port, 100)
    settle(scene, collector, [], acknowledged=ids)


def _blind_scan(scene: Scene) -> None:
    """One span comes in while the collector's clock is a day ahead; the scan of messages still sees what
    follows.
    """
    collector = scene.collector()
    assert collector.start(clock_moved(_DAY)), collector.output[-1000:]
    watch = scene.watch(collector)
    assert wait_until(lambda: watch.page("/health/ready").status == 200, 30), watch.output[-500:]
    send_spans(
        collector.port,
        1,
        start=time.time_ns() + (_DAY - 1) * 1_000_000_000,
        gen_ai__input__messages=INJECTION.replace("ignore all previous instructions and", "please"),
        user__id="early",
    )
    time.sleep(4)
    collector.stop()
    assert collector.start(), collector.output[-1000:]
    assert wait_until(lambda: watch.page("/health/ready").status == 200, 30), watch.output[-500:]
    send_spans(collector.port, 6, gen_ai__input__messages=INJECTION, user__id="mallory")

    def is_seen() -> bool:
        rows = collector.rows("SELECT count() AS c FROM incidents WHERE Rule LIKE '%injection%'")
        return int(rows[0]["c"]) > 0

    is_in_time = wait_until(is_seen, 20, 1)
    kinds = collector.rows("SELECT Kind, Rule, count() AS c FROM incidents GROUP BY ALL")
    scene.note(f"incidents: {kinds}")
    page = watch.page("/health/ready")
    scene.expect("recovered", is_in_time, f"the scan is blind and says {page.status} {page.text[:120]}")


CASES: Final = [
    *(
        Case(f"clock {seconds // _DAY:+d} days", "clock", partial(_jump, seconds), ("faketime",), 20)
        for seconds in (_DAY, -_DAY, 365 * _DAY, -365 * _DAY)
    ),
    Case("clock a day ahead for one span", "clock", _blind_scan, ("faketime",), 50),
]
