"""What makes a request another attempt at the one before, and which errors come again whatever one does.

The SDK, which knows the program's own order, and the collector, which sees spans of every tracer, go by the
same rules.
"""

from __future__ import annotations

import re
from typing import Final

RETRY_WINDOW_SECONDS: Final = 120.0
"""An equal request that begins later than so after the failed one ended is a call of its own. Loops wait a
minute between attempts at most (Tenacity's and the providers' own examples cap exponential waits at 60 s)."""

MOST_RETRIES: Final = 3
"""More attempts after the first than so are named as waste."""

_PASSING: Final = frozenset({408, 409, 425, 429})
#: Kinds of errors, as providers, their clients and tracers name them: of request, key and account.
_LASTING: Final = re.compile(
    r"invalid_request|bad_?request|validation|unprocessable|invalid_argument|context_length|content_policy"
    r"|content_filter|authentication|unauthenticated|unauthorized|invalid_api_key|permission|forbidden"
    r"|access_?denied|not_?found|insufficient_quota|billing|credit_balance|payment_required",
    re.IGNORECASE,
)


def is_lasting_error(status: int, kind: str) -> bool:
    """Whether the same request gets the same error again: 4xx but for those that pass, a spent quota.

    status: of HTTP, 0 where nobody said. kind: `error.type`, which decides where there is no status, and
        where a limit of requests (429) is really one of money.
    """
    if status == 0:
        return bool(_LASTING.search(kind)) or (kind.isdecimal() and is_lasting_error(int(kind), ""))
    if 400 <= status < 500 and status not in _PASSING:
        return True
    return status == 429 and bool(re.search(r"insufficient_quota|billing|credit", kind, re.IGNORECASE))
