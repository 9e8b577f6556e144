"""Watch: webhooks over outages, scans that lag, cold starts."""

from __future__ import annotations

import time
from typing import Any, Final

from tests.collector.otlp import llm, traces

from .case import Case, Scene, wait_until
from .incidents import put_incident
from .processes import Collector, Watch
from .receivers import Receiver
from .senders import INJECTION, post, send_spans

_SECRET: Final = "whsec_" + "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="


def _webhooks(*receivers: Receiver, **settings: Any) -> dict[str, Any]:
    webhooks = [{"url": receiver.url, "secret": _SECRET, "allow_private": True} for receiver in receivers]
    quick = {
        "webhook_attempts": 2,
        "webhook_backoff_seconds": 0.3,
        "webhook_rest_seconds": 6,
        "webhook_timeout_seconds": 2,
    }
    return {"webhooks": webhooks, **quick, **settings}


def _started(scene: Scene, **settings: Any) -> tuple[Collector, Watch]:
    collector = scene.collector()
    assert collector.start(), collector.output[-1000:]
    watch = scene.watch(collector, **settings)
    is_up = wait_until(lambda: watch.page("/health/live").status == 200, 30)
    assert is_up, watch.output[-500:]
    return collector, watch


def _receiver_away(scene: Scene) -> None:
    """A receiver is away while an incident opens, and back when it is resolved."""
    receiver = Receiver()
    scene.stack.callback(receiver.close)
    collector, watch = _started(scene, **_webhooks(receiver))
    opened = time.time()
    put_incident(collector, "inc-away", state="open", opened=opened)
    time.sleep(11)
    page = watch.page("/health/ready")
    scene.expect(
        "announced",
        page.status != 200 or "wait" in page.text,
        f"watch says {page.status} {page.text[:100]} of a backlog",
    )
    receiver.open()
    put_incident(collector, "inc-away", state="resolved", opened=opened)
    wait_until(lambda: "incident.resolved" in dict(receiver.received), 25)
    wait_until(lambda: len(receiver.received) >= 2, 9)  # longer than a message rests
    events = [event for event, _ in receiver.received]
    scene.note(f"arrived: {events}")
    # One message for both does as well, since none of them was delivered: no alarm is left open.
    is_ordered = events in (["incident.opened", "incident.resolved"], ["incident.resolved"])
    scene.expect("stored", is_ordered, f"a receiver that was away hears {events}")
    wait_until(lambda: watch.page("/health/ready").status == 200, 12, 0.5)
    page = watch.page("/health/ready")
    scene.expect("recovered", page.status == 200, f"afterwards watch says {page.status} {page.text[:100]}")


def _dripping_receiver(scene: Scene) -> None:
    """One receiver answers a byte every few seconds: its attempt ends, is recorded, and others are served."""
    dripping, good = Receiver(drip_seconds=1.0), Receiver()
    for receiver in (dripping, good):
        scene.stack.callback(receiver.close)
        receiver.open()
    collector, _ = _started(scene, **_webhooks(dripping, good))
    put_incident(collector, "inc-drip", state="open", opened=time.time())

    def is_recorded() -> bool:
        rows = collector.rows("SELECT count() AS c FROM webhook_deliveries WHERE NOT Ok")
        return int(rows[0]["c"]) > 0

    is_in_time = wait_until(is_recorded, 14, 0.5)
    scene.expect("announced", is_in_time, "an attempt that drips is not recorded within 14 s (timeout 2 s)")
    scene.expect("stored", bool(good.received), "the other receiver got nothing")


def _watch_killed(scene: Scene) -> None:
    """Watch is killed again and again while it delivers: each end arrives, each event under one id."""
    receiver = Receiver()
    scene.stack.callback(receiver.close)
    receiver.open()
    collector, watch = _started(scene, **_webhooks(receiver))
    for number in range(3):
        opened = time.time()
        put_incident(collector, f"inc-{number}", state="open", opened=opened)
        time.sleep(scene.random.uniform(0.2, 1.5))
        watch.kill()
        watch.spawn()
        put_incident(collector, f"inc-{number}", state="resolved", opened=opened)

    def resolved() -> set[str]:
        return {name for event, name in receiver.received if event == "incident.resolved"}

    wait_until(lambda: len(resolved()) >= 3, 30)
    messages = set(receiver.received)
    opened_ids = {name for event, name in messages if event == "incident.opened"}
    scene.note(f"{len(receiver.received)} deliveries of {len(messages)} messages")
    # One of which nothing was delivered when it was resolved may be told of by that message alone.
    scene.expect("stored", len(resolved()) >= 3, f"{3 - len(resolved())} of 3 incidents were never resolved")
    scene.expect("stored", len(resolved()) <= 3 and len(opened_ids) <= 3, f"an event has two ids: {messages}")


def _cold_start(scene: Scene) -> None:
    """Fifty users who do the same open nothing when watch is new."""
    collector = scene.collector()
    assert collector.start(), collector.output[-1000:]
    for _ in range(13):
        spans = [llm({"user.id": f"user-{number % 50}"}, name="fault") for number in range(500)]
        assert post(collector.port, traces(spans).SerializeToString(), 20)
    watch = scene.watch(collector)
    wait_until(lambda: watch.page("/health/ready").status == 200, 30)
    time.sleep(8)
    rows = collector.rows("SELECT Rule, count() AS c FROM incidents WHERE Rule LIKE '%flood%' GROUP BY Rule")
    floods = sum(int(row["c"]) for row in rows)
    scene.expect("counted", not floods, f"{floods} flood incidents for 50 users who do the same")


def _busy_scan(scene: Scene) -> None:
    """Much to scan: the numeric rules do not wait for it, and the scan keeps up or says how far behind it
    is.
    """
    collector, watch = _started(scene)
    text = " ".join(f"word{scene.random.randrange(10**6)}" for _ in range(120))
    message = '[{"role":"user","parts":[{"type":"text","content":"' + text + '"}]}]'
    # Of a project that is new nobody knows yet what is usual.
    past = [llm({"user.id": f"user-{number}"}, start=time.time_ns() - 600 * 10**9) for number in range(20)]
    post(collector.port, traces(past).SerializeToString(), 20)
    began = time.monotonic()
    sent = 0
    while time.monotonic() - began < 30:
        now = time.time_ns()
        spans = [
            llm(
                {"user.id": f"user-{number}", "gen_ai.input.messages": message},
                name="fault",
                start=now - 10**9,
            )
            for number in range(400)
        ]
        sent += 400 * post(collector.port, traces(spans).SerializeToString(), 20)
        time.sleep(max(0.0, sent / 800 - (time.monotonic() - began)))
    asked = time.monotonic()
    spans = [
        llm({"user.id": "mallory", "gen_ai.input.messages": INJECTION}, name="fault") for _ in range(400)
    ]
    post(collector.port, traces(spans).SerializeToString(), 20)
    opened: dict[str, float] = {}

    def both() -> bool:
        for row in collector.rows("SELECT DISTINCT Rule AS rule FROM incidents"):
            opened.setdefault(str(row["rule"]), round(time.monotonic() - asked, 1))
        return len([rule for rule in opened if "flood" in rule or "injection" in rule]) >= 2

    is_in_time = wait_until(both, 10, 0.5)
    page = watch.page("/health/ready")
    seconds = [
        line
        for line in watch.page("/metrics").text.splitlines()
        if line.startswith("llmtrace_watch_look_seconds ")
    ]
    scene.note(
        f"{sent} spans; incidents after {opened}; {seconds}; readiness {page.status} {page.text[:150]}"
    )
    scene.expect(
        "announced",
        is_in_time or page.status != 200 or "warning" in page.text,
        f"at 800 spans/s watch is more than 10 s behind ({opened}) and says {page.status} {page.text[:60]}",
    )


def _collector_away(scene: Scene) -> None:
    """Watch outlives its collector, and says that it is away."""
    collector, watch = _started(scene)
    wait_until(lambda: watch.page("/health/ready").status == 200, 20)
    collector.kill()
    is_announced = wait_until(lambda: watch.page("/health/ready").status == 503, 10, 0.25)
    scene.expect("announced", is_announced, "watch says it is well while its collector is away")
    assert collector.start(), collector.output[-1000:]
    again = wait_until(lambda: watch.page("/health/ready").status == 200, 20, 0.5)
    scene.expect("recovered", again, "watch does not come back with its collector")
    send_spans(collector.port, 20)


CASES: Final = [
    Case("receiver of webhooks away", "network", _receiver_away, (), 32),
    Case("receiver of webhooks drips", "network", _dripping_receiver, (), 30),
    Case("watch killed while it delivers", "kill", _watch_killed, (), 50),
    Case("cold start of watch", "cold start", _cold_start, (), 35),
    Case("much for watch to scan", "load", _busy_scan, (), 75),
    Case("watch without its collector", "kill", _collector_away, (), 30),
]
