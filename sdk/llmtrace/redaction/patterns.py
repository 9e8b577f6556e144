r"""What secrets and personal data look like: the one table, for the SDK and for the collector's engine.

`python` is linear in Python's engine: a match can only start where its own run of characters starts (a
look-behind), and repeats are possessive or bounded. RE2, by which ClickHouse searches, has neither; it is
linear by itself, and its form follows from `python` but where `engine` gives it. In `engine`, groups 1 and 2
are what stands before and after the match and stays; where a check follows, group 2 is what to check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Check = Literal["", "card", "iban", "ip", "phone"]


@dataclass(frozen=True)
class Pattern:
    """One kind of text to replace by `mark`."""

    kind: str
    python: str
    hints: tuple[str, ...] = ()
    """Literals of which every text with a match holds one."""
    engine: str = ""
    check: Check = ""
    """Arithmetic that a match must pass, where the pattern alone does not say."""

    @property
    def mark(self) -> str:
        """What stands in the place of a match."""
        return f"[redacted:{self.kind}]"


# RE2 cannot look ahead for a digit: it is tried at each of the first places.
_WITH_A_DIGIT = (
    "|".join(rf"[A-Za-z0-9_-]{{{n}}}\d[A-Za-z0-9_-]{{{15 - n}}}" for n in range(16))
    + r"|[A-Za-z0-9_-]{16,}\d"
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"

#: Keys, tokens, passwords. Each has a literal that a text without it cannot hold.
SECRETS: Final[tuple[Pattern, ...]] = (
    Pattern(
        "key",
        r"(?<![\w-])sk-(?=[\w-]{0,255}\d)[A-Za-z0-9_-]{16,}+",
        ("sk-",),
        rf"(^|[^\w-])sk-(?:{_WITH_A_DIGIT})[A-Za-z0-9_-]*()",
    ),
    Pattern("key", r"(?<!\w)gsk_[A-Za-z0-9]{32,}+", ("gsk_",)),
    Pattern("key", r"(?<![\w-])(?:xai|pplx)-[A-Za-z0-9]{32,}+", ("xai-", "pplx-")),
    Pattern("key", r"(?<!\w)(?:hf|r8|npm)_[A-Za-z0-9]{30,}+", ("hf_", "r8_", "npm_")),
    Pattern("key", r"(?<![\w-])AIza[\w-]{30,}+", ("AIza",)),
    Pattern("token", r"(?<![\w-])ya29\.[\w.-]{20,}+", ("ya29.",)),
    Pattern("key", r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])", ("AKIA", "ASIA")),
    Pattern(
        "key",
        r"(?i)(?<=secret)[_-]?(?:access[_-]?)?key\W{1,6}[A-Za-z0-9/+]{40}(?![\w/+])",
        ("ecret", "ECRET"),
        r"(?i)(secret[_-]?(?:access[_-]?)?key\W{1,6})[A-Za-z0-9/+]{40}($|[^\w/+])",
    ),
    Pattern(
        "key",
        r"(?<=AccountKey=)[A-Za-z0-9+/]{80,}+={0,2}",
        ("AccountKey=",),
        r"(AccountKey=)[A-Za-z0-9+/]{80,}={0,2}()",
    ),
    Pattern("token", r"(?<!\w)gh[pousr]_[A-Za-z0-9]{36,}+", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    Pattern("token", r"(?<![\w-])(?:github_pat_|glpat-)[\w-]{20,}+", ("github_pat_", "glpat-")),
    Pattern("token", r"(?<![\w-])xox[abeprs]-[A-Za-z0-9-]{10,}+", ("xox",)),
    Pattern("key", r"(?<!\w)[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}+", ("_live_", "_test_")),
    Pattern("jwt", r"(?<![\w-])eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]*+", ("eyJ",)),
    Pattern(
        "token",
        r"(?i)(?<=bearer |.basic )[A-Za-z0-9._~+/-]{20,}+={0,2}",
        ("earer ", "asic ", "EARER "),
        r"(?i)(bearer |.basic )[A-Za-z0-9._~+/-]{20,}={0,2}()",
    ),
    Pattern(
        "password",
        r"(?<=://)[^\s/:@]{1,64}+:[^\s/@]{1,256}+(?=@)",
        ("://",),
        # The engine sees JSON as it is written: a match stays within one of its texts.
        r'(://)[^\s/:@"]{1,64}:[^\s/@"]{1,256}(@)',
    ),
)

EMAIL: Final = Pattern(
    "email",
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}+@[A-Za-z0-9-]{1,63}+(?:\.[A-Za-z0-9-]{1,63}+){1,8}+",
    ("@",),
)
IPV6: Final = Pattern(
    "ip",
    r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}+(?![\w:])",
    (":",),
    r"(^|[^\w:.])([0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})",
    check="ip",
)
IBAN: Final = Pattern(
    "iban",
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}",
    engine=r"(^|[^A-Za-z0-9])([A-Z]{2}\d{2}[A-Z0-9]{11,30}\b|[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30})",
    check="iban",
)
CARD: Final = Pattern(
    "card",
    r"(?<!\d)(?:\d[ -]?){12,18}\d",
    # The usual lengths first, so that the next number is not taken for a part of this one.
    engine=r"(^|[^\d])(\d{4}(?:[ -]?\d{4}){3}\b|\d{4}[ -]?\d{6}[ -]?\d{5}\b|(?:\d[ -]?){12,18}\d)",
    check="card",
)
SSN: Final = Pattern(
    "ssn",
    r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])",
    engine=r"(^|[^\d-])(?:00[1-9]|0[1-9]\d|[1-57-8]\d\d|6[0-57-9]\d|66[0-57-9])-(?:0[1-9]|[1-9]\d)-"
    r"(?:000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{3})($|[^\d-])",
)
IPV4: Final = Pattern(
    "ip",
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)",
    engine=rf"(^|[^\w.])(?:{_OCTET}\.){{3}}{_OCTET}($|[^\w.]|\.(?:$|\D))",
)
PHONE: Final = Pattern(
    "phone",
    r"(?<![\w+.])(?:\+|\(|0)[ (]?\d(?:[ ()/.-]{0,2}\d){7,14}(?!\w)",
    engine=r"(^|[^\w+.])((?:\+|\(|0)[ (]?\d(?:[ ()/.-]{0,2}\d){7,14})\b",
    check="phone",
)
PHONE_US: Final = Pattern("phone", r"(?<![\w-])\d{3}-\d{3}-\d{4}(?![\w-])")

#: Personal data, in the order in which it is looked for.
PERSONAL: Final[tuple[Pattern, ...]] = (EMAIL, IPV6, IBAN, CARD, SSN, IPV4, PHONE, PHONE_US)

PRIVATE_KEY: Final = Pattern(
    "private-key",
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
    ("PRIVATE KEY-----",),
    # Cut off, nothing after the beginning is safe, up to the end of the JSON text that it stands in.
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[^\"]*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|(\")|$)",
)
