r"""What secrets and personal data look like: the one table, for the SDK and for the collector's engine.

`python` is linear in Python's engine: a match can only start where its own run of characters starts (a
look-behind), and repeats are possessive or bounded. RE2, by which ClickHouse searches, has neither; it is
linear by itself, and its form follows from `python` but where `engine` gives it. In `engine`, groups 1 and 2
are what stands before and after the match and stays; where a check follows, group 2 is what to check. In
`python`, group 1 stays too.

Letters and digits are those of ASCII for both: a number right after Chinese text begins a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

Check = Literal["", "ip", "number", "phone"]


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

    def compiled(self, flags: int = 0) -> re.Pattern[str]:
        r"""Compile; a leading look-behind also lets a match start after `\n`, `\r`, `\t` in escaped text.

        JSON inside a text (a tool's answer) holds these as two characters, and the letter is no part of the
        run.
        """
        pattern = self.python
        behind = re.match(r"\(\?<!(?:\[[^]]*\]|\\w|\\d)\)", pattern)
        if behind is not None:
            start = rf"(?:{behind.group()}(?!(?<=\\)[nrt])|(?<=\\[nrt]))"
            pattern = start + pattern[behind.end() :]
        return re.compile(pattern, flags)


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
    Pattern(
        "key",
        r"(?<!\w)(?:(?:hf|r8|npm)_[A-Za-z0-9]{30,}+|llmt_[a-z]{1,20}_[\w-]{40,}+)",
        ("hf_", "r8_", "npm_", "llmt_"),
    ),
    Pattern("key", r"(?<![\w-])AIza[\w-]{30,}+", ("AIza",)),
    Pattern("token", r"(?<![\w-])ya29\.[\w.-]{20,}+", ("ya29.",)),
    # Amazon's, Alibaba's and Tencent's.
    Pattern(
        "key",
        r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA)[A-Z0-9]{16}|LTAI[A-Za-z0-9]{12,26}|AKID[A-Za-z0-9]{28,36})"
        r"(?![A-Za-z0-9])",
        ("AKIA", "ASIA", "LTAI", "AKID"),
    ),
    Pattern(
        "key",
        r"(?i)(?<=secret)([_-]?(?:access[_-]?)?key\W{1,6})[A-Za-z0-9/+]{40}(?![\w/+])",
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
    Pattern(
        "key",
        r"(?<!\w)(?:[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}+|whsec_[A-Za-z0-9+/]{24,}+={0,2})",
        ("_live_", "_test_", "whsec_"),
    ),
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
    # The last label is letters: lodash@4.17.21 is a package.
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}+@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])",
    ("@",),
)
IPV6: Final = Pattern(
    "ip",
    r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}+(?![\w:])",
    (":",),
    r"(^|[^\w:.])([0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})",
    check="ip",
)

_MOBILE = r"1(?:3\d|4[5-9]|5[0-35-9]|6[2567]|7[0-8]|8\d|9[0-35-9])(?:\d{8}|[ .-]\d{4}[ .-]\d{4})"
_MOBILE_CN = rf"(?:(?:\+|00)?86[ -]?|\(\+?86\) ?)?{_MOBILE}"
MOBILE_CN: Final = Pattern(
    "phone",
    rf"(?<![\w.+#$-]){_MOBILE_CN}(?!\w|[.-]\w)",
    engine=rf"(^|[^\w.+#$-]){_MOBILE_CN}($|[^\w.-]|[.-](?:$|\W))",
)
"""Mobile numbers of mainland China, by the prefixes that carriers have."""

_DATE = r"(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_REGION = r"(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3])"
_IDENTITY = rf"{_REGION}\d{{4}}[ -]?{_DATE}[ -]?\d{{3}}[\dXx]"
_IBAN = r"[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?:[ -][A-Z0-9]{4}){2,7}(?:[ -][A-Z0-9]{1,3})?)"
# Grouped as on the card: a number after another number is one of its own.
_ISSUER = r"(?:4\d{3}|5[0-8]\d\d|2[2-7]\d\d|3\d{3}|6\d{3}|9558)"
_CARD = _ISSUER + (r"(?:\d{10,15}|(?:[ -]\d{4}){3}(?:[ -]\d{1,3})?|[ -]\d{6}[ -]\d{4,5}|\d\d[ -]\d{13})")
_NUMBER = rf"{_IDENTITY}|{_IBAN}|{_CARD}"
NUMBER: Final = Pattern(
    "number",
    rf"(?<!\w)(?:{_NUMBER})(?!\w)",
    engine=rf"(^|\W)((?:{_NUMBER})\b)",
    check="number",
)
"""Numbers with check digits: of identity, of accounts, of cards. One search, since most texts have none."""

#: What stands in the place of a number with check digits.
IDENTITY_MARK: Final = "[redacted:identity]"
IBAN_MARK: Final = "[redacted:iban]"
CARD_MARK: Final = "[redacted:card]"

#: The digits of a card, by who issues it and how long its numbers are: Visa; Mastercard; American Express and
#: Diners; JCB; UnionPay, Discover, Maestro, RuPay; Mir; savings cards of a Chinese bank. Thirteen digits are
#: those of goods.
CARD_DIGITS: Final = (
    r"^(?:4\d{15}(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|"
    r"3(?:0[0-5]|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}|6[02-57]\d{14,17}|5[06-8]\d{14,17}|220[0-4]\d{12}|"
    r"9558\d{15})$"
)

#: By which the first 17 digits of an identity number count; with the last (X is 10), the sum leaves 1 by 11.
IDENTITY_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2, 1)

#: How long account numbers are, by country.
IBAN_LENGTHS: Final = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FO GL NL SD", "19": "MK SI", "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ DZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST", "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HN HU LB NI PL SV", "29": "BR EG PS QA UA",
        "30": "JO KW MU YE", "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip

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

# With a country's code; with an area's in brackets; with an area's that begins with 0; in pairs of digits.
_PHONE = (
    r"\+[ (]?\d(?:[ ()/.-]{0,2}\d){7,14}|\(0?\d{2,4}\)[ -]?\d(?:[ /-]?\d){5,8}|"
    r"0[1-9]\d{0,3}[ /-]\d{3,8}(?:[ -]\d{2,5}){0,2}|0[1-9](?: \d\d){4}"
)
PHONE: Final = Pattern(
    "phone",
    rf"(?<![\w+.-])(?:{_PHONE})(?!\w)",
    engine=rf"(^|[^\w+.-])((?:{_PHONE})\b)",
    check="phone",
)
PHONE_US: Final = Pattern("phone", r"(?<![\w.-])(?:\d{3}-\d{3}-\d{4}|\d{3}\.\d{3}\.\d{4})(?![\w-])")

#: Characters that Chinese and Japanese keyboards write, and what they are read as. Where something is taken
#: out of a text that has one of `WIDE`, the text is recorded with the plain ones.
WIDE: Final = "０-９＠"
WIDE_CHARACTERS: Final = "０１２３４５６７８９＠＋－（）．　Ｘｘ"
PLAIN_CHARACTERS: Final = "0123456789@+-(). Xx"

#: Personal data, in the order in which it is looked for.
PERSONAL: Final[tuple[Pattern, ...]] = (EMAIL, IPV6, MOBILE_CN, NUMBER, SSN, IPV4, PHONE, PHONE_US)

PRIVATE_KEY: Final = Pattern(
    "private-key",
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
    ("PRIVATE KEY-----",),
    # Cut off, nothing after the beginning is safe, up to the end of the JSON text that it stands in.
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[^\"]*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|(\")|$)",
)
