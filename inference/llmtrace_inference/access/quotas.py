"""How much each caller may still do: requests and tokens per minute, tokens per day.

A request first pays for itself, then for the tokens of its longest course; what it did not use is given back
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
    """One request's payments. Without an account everything is allowed."""

    caller: Caller
    quotas: Quotas
    reserved: int = 0
    day: int = 0

    def reserve(self, tokens: int) -> None:
        """Pay for a request's longest course. Raises RateLimited."""
        self.quotas.reserve(self, tokens)

    def settle(self, tokens: int) -> None:
        """The request is over and came to `tokens`: give the rest back."""
        self.quotas.settle(self, tokens)

    def headers(self) -> dict[str, str]:
        """`x-ratelimit-*` headers, as OpenAI names them."""
        return self.quotas.headers(self.caller)


@dataclass(slots=True)
class Quotas:
    """All callers' accounts."""

    clock: Callable[[], float] = time.time
    _accounts: dict[str, _CallerUsage] = field(default_factory=dict)

    def admit(self, caller: Caller) -> QuotaReservation:
        """Pay for one request. Raises RateLimited."""
        account, now = self._account(caller), self.clock()
        if account is not None and account.requests is not None:
            seconds = account.requests.seconds_until(1, now)
            if seconds > 0:
                raise RateLimited(f"the key allows {account.requests.limit} requests per minute", seconds)
            account.requests.take(1)
        return QuotaReservation(caller, self)

    def _account(self, caller: Caller) -> _CallerUsage | None:
        limits = caller.limits
        if limits is None:
            return None
        now = self.clock()
        account = self._accounts.get(caller.name)
        if account is None:
            rpm, tpm = limits.requests_per_minute, limits.tokens_per_minute
            account = self._accounts[caller.name] = _CallerUsage(
                limits, TokenBucket(rpm, now) if rpm else None, TokenBucket(tpm, now) if tpm else None
            )
        if account.day != int(now // _DAY):
            account.day, account.used_today = int(now // _DAY), 0
        return account

    def reserve(self, grant: QuotaReservation, tokens: int) -> None:
        """See QuotaReservation.reserve."""
        account, now = self._account(grant.caller), self.clock()
        if account is None:
            return
        bucket, daily = account.tokens, account.limits.tokens_per_day
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
        if daily is not None and account.used_today + tokens > daily:
            left = _DAY - now % _DAY
            raise RateLimited(
                f"the key allows {daily} tokens per day (UTC)", left, retry_is_vain=tokens > daily
            )
        if bucket is not None:
            bucket.take(tokens)
        account.used_today += tokens
        grant.reserved, grant.day = tokens, account.day

    def settle(self, grant: QuotaReservation, tokens: int) -> None:
        """See QuotaReservation.settle."""
        account = self._account(grant.caller)
        unused, grant.reserved = grant.reserved - tokens, 0
        if account is None or unused == -tokens:  # nothing was reserved
            return
        if account.tokens is not None:
            account.tokens.take(-unused)
        if account.day == grant.day:  # else the new day has begun without it
            account.used_today -= unused

    def headers(self, caller: Caller) -> dict[str, str]:
        """See QuotaReservation.headers."""
        account, now = self._account(caller), self.clock()
        out: dict[str, str] = {}
        if account is None:
            return out
        for name, bucket in (("requests", account.requests), ("tokens", account.tokens)):
            if bucket is not None:
                out[f"x-ratelimit-limit-{name}"] = str(bucket.limit)
                out[f"x-ratelimit-remaining-{name}"] = str(max(int(bucket.left(now)), 0))
                out[f"x-ratelimit-reset-{name}"] = f"{bucket.seconds_until(bucket.limit, now):.3f}s"
        if (daily := account.limits.tokens_per_day) is not None:
            out["x-ratelimit-limit-tokens-day"] = str(daily)
            out["x-ratelimit-remaining-tokens-day"] = str(max(daily - account.used_today, 0))
            out["x-ratelimit-reset-tokens-day"] = f"{_DAY - now % _DAY:.0f}s"
        return out
