"""How much each caller may still do: requests and tokens per minute, tokens per day.

A request first counts itself, then reserves the most tokens it may come to; what it did not use is given back
when it is over. All of it is in memory: a restart forgets what was used. One event loop's thread only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from llmtrace.common.token_bucket import TokenBucket
from llmtrace_inference.protocol.errors import ApiError
from llmtrace_inference.settings import KeySettings

from .auth import Caller

_DAY = 86_400


class RateLimited(ApiError):
    """429: the caller has used up what its key allows."""

    def __init__(self, what: str, seconds: float, *, retry_is_vain: bool = False) -> None:
        super().__init__(
            429,
            f"{what}: try again in {math.ceil(seconds)} s",
            code="rate_limit_exceeded",
            retry_after_seconds=max(math.ceil(seconds), 1),
            retry_is_vain=retry_is_vain,
        )


@dataclass(slots=True)
class _CallerUsage:
    """One caller's counters."""

    limits: KeySettings
    requests: TokenBucket | None
    tokens: TokenBucket | None
    day: int = 0
    used_today: int = 0


@dataclass(slots=True)
class QuotaReservation:
    """One request's share of its caller's quotas. A caller without limits may reserve anything."""

    caller: Caller
    quotas: Quotas
    reserved: int = 0
    day: int = 0

    def reserve(self, tokens: int) -> None:
        """Reserve the most tokens that the request may come to. Raises RateLimited."""
        self.quotas.reserve(self, tokens)

    def release_unused(self, tokens: int) -> None:
        """The request is over and came to `tokens`: give the rest back."""
        self.quotas.release_unused(self, tokens)

    def headers(self) -> dict[str, str]:
        """`x-ratelimit-*` headers, as OpenAI names them."""
        return self.quotas.headers(self.caller)


@dataclass(slots=True)
class Quotas:
    """The quotas of all callers, and what is used of them."""

    clock: Callable[[], float] = time.time
    _usage_by_caller: dict[str, _CallerUsage] = field(default_factory=dict)

    def admit(self, caller: Caller) -> QuotaReservation:
        """Count one request. Raises RateLimited."""
        usage, now = self._usage_of(caller), self.clock()
        if usage is not None and usage.requests is not None:
            seconds = usage.requests.seconds_until(1, now)
            if seconds > 0:
                raise RateLimited(f"the key allows {usage.requests.limit} requests per minute", seconds)
            usage.requests.take(1)
        return QuotaReservation(caller, self)

    def _usage_of(self, caller: Caller) -> _CallerUsage | None:
        limits = caller.limits
        if limits is None:
            return None
        now = self.clock()
        usage = self._usage_by_caller.get(caller.name)
        if usage is None:
            rpm, tpm = limits.requests_per_minute, limits.tokens_per_minute
            usage = self._usage_by_caller[caller.name] = _CallerUsage(
                limits, TokenBucket(rpm, now) if rpm else None, TokenBucket(tpm, now) if tpm else None
            )
        if usage.day != int(now // _DAY):
            usage.day, usage.used_today = int(now // _DAY), 0
        return usage

    def reserve(self, reservation: QuotaReservation, tokens: int) -> None:
        """See QuotaReservation.reserve."""
        usage, now = self._usage_of(reservation.caller), self.clock()
        if usage is None:
            return
        bucket, daily = usage.tokens, usage.limits.tokens_per_day
        if bucket is not None:
            if tokens > bucket.limit:
                raise RateLimited(
                    f"the request may come to {tokens} tokens, and the key allows {bucket.limit} per minute: "
                    "lower max_tokens or shorten the prompt",
                    60,
                    retry_is_vain=True,
                )
            seconds = bucket.seconds_until(tokens, now)
            if seconds > 0:
                raise RateLimited(f"the key allows {bucket.limit} tokens per minute", seconds)
        if daily is not None and usage.used_today + tokens > daily:
            seconds_left = _DAY - now % _DAY
            raise RateLimited(
                f"the key allows {daily} tokens per day (UTC)", seconds_left, retry_is_vain=tokens > daily
            )
        if bucket is not None:
            bucket.take(tokens)
        usage.used_today += tokens
        reservation.reserved, reservation.day = tokens, usage.day

    def release_unused(self, reservation: QuotaReservation, tokens: int) -> None:
        """See QuotaReservation.release_unused."""
        usage = self._usage_of(reservation.caller)
        unused, reservation.reserved = reservation.reserved - tokens, 0
        if usage is None or unused == -tokens:  # nothing was reserved
            return
        if usage.tokens is not None:
            usage.tokens.take(-unused)
        if usage.day == reservation.day:  # else the new day has begun without it
            usage.used_today -= unused

    def headers(self, caller: Caller) -> dict[str, str]:
        """See QuotaReservation.headers."""
        usage, now = self._usage_of(caller), self.clock()
        out: dict[str, str] = {}
        if usage is None:
            return out
        for name, bucket in (("requests", usage.requests), ("tokens", usage.tokens)):
            if bucket is not None:
                out[f"x-ratelimit-limit-{name}"] = str(bucket.limit)
                out[f"x-ratelimit-remaining-{name}"] = str(max(int(bucket.left(now)), 0))
                out[f"x-ratelimit-reset-{name}"] = f"{bucket.seconds_until(bucket.limit, now):.3f}s"
        if (daily := usage.limits.tokens_per_day) is not None:
            out["x-ratelimit-limit-tokens-day"] = str(daily)
            out["x-ratelimit-remaining-tokens-day"] = str(max(daily - usage.used_today, 0))
            out["x-ratelimit-reset-tokens-day"] = f"{_DAY - now % _DAY:.0f}s"
        return out
