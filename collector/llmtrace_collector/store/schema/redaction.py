"""Redaction in the engine: what `sql/functions/redaction.sql` takes out of texts before they are stored.

Patterns are the SDK's table, in the words of RE2, and the user's own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from llmtrace.redaction.patterns import (
    CARD_MARK,
    IBAN_MARK,
    IDENTITY_MARK,
    NUMBER,
    PERSONAL,
    PRIVATE_KEY,
    SECRETS,
    WIDE,
    Pattern,
)
from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.engine import StoreEngine, StoreError, StoreUnavailable

#: What stands in the place of what a pattern of the user's own matched.
OWN_MARK = "[redacted:own]"

#: What stands in the place of bytes, in which no pattern can be read.
BYTES_MARK = "[redacted:bytes]"

#: JSON writes a new line before a word as two characters, of which the second looks like a part of the word.
#: While patterns run, such pairs are single characters of a private range.
ESCAPES = (("\\\\", "\uf8f0"), ("\\n", "\uf8f1"), ("\\r", "\uf8f2"), ("\\t", "\uf8f3"), ('\\"', "\uf8f4"))
UNICODE = ("\uf8f5", "\uf8f6")
BETWEEN = "\uf8f7"

#: What every text with a match of the personal patterns holds: signs of an address, digits in number, or with
#: something between them as in dates. Ids of hexadecimal digits mostly hold none.
_PERSONAL_HINT = (
    r"@|:[0-9A-Fa-f]{0,4}:|1[3-9]\d{9}|\d{13}|[+(][ (]?\d(?:[ ()/.-]{0,2}\d){7}|"
    r"\d[ ()/.-]{1,3}\d[\d ()/.-]{4}|[\d ()/.-]{4}\d[ ()/.-]{1,3}\d|[A-Z]{2}\d{2}[ -]?[A-Z0-9]{4}"
)

#: JSON's escapes of the commonest characters that are read as plain ones, without their beginning, and those.
WIDE_ESCAPES = (("ff1([0-9])", r"\1"), ("ff20", "@"), ("ff0b", "+"), ("ff0d", "-"))

#: Signs of digits that are not of ASCII, as they are and as JSON writes them.
WIDE_HINT = rf"[{WIDE}]|\\u(?i:ff1[0-9]|ff20)"


@dataclass(frozen=True)
class Stage:
    """One replacement: every match of `expression` (RE2) by its mark.

    Groups 1 and 2 of an expression stand before and after the match and stay. With a `check`, group 2 is the
    match, and `llmtrace_<check>_or_mark` says of it, and of the marks, what becomes of it.
    """

    what: str
    expression: str
    marks: tuple[str, ...]
    hints: tuple[str, ...] = ()
    check: str = ""
    #: What stands after one match may be what stands before the next.
    twice: bool = False


@dataclass(frozen=True)
class Redaction:
    """What a store's views leave out of every text: sets of built-in patterns (`secrets`, `pii`), regular
    expressions of the user's own, and whole content.
    """

    sets: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    drop_content: bool = False

    @property
    def on(self) -> bool:
        """Whether anything is left out."""
        return bool(self.sets or self.patterns or self.drop_content)

    @property
    def replaces(self) -> bool:
        """Whether texts are searched for patterns."""
        return bool(self.sets or self.patterns)

    @property
    def function(self) -> str:
        """The SQL function that takes what matches out of an array of texts.

        A server has one set of functions for all its databases, and stores in them may leave out different
        things: what is left out is part of the name.
        """
        stages = "\0".join(repr(stage) for stage in self.stages)
        return f"llmtrace_redacted_{hashlib.sha256(stages.encode()).hexdigest()[:12]}"

    @property
    def secret_hints(self) -> tuple[str, ...]:
        """Literals of which every text with a secret holds one, but for passwords in addresses."""
        if "secrets" not in self.sets:
            return ()
        return tuple(
            sorted({hint for pattern in (*SECRETS, PRIVATE_KEY) for hint in pattern.hints} - {"://"})
        )

    @property
    def personal_hint(self) -> str:
        """What every text with personal data matches."""
        return f"{_PERSONAL_HINT}|{WIDE_HINT}" if "pii" in self.sets else ""

    @property
    def own_hint(self) -> str:
        """What every text with a match of the user's own patterns matches."""
        return "|".join(f"(?:{pattern})" for pattern in self.patterns)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The replacements, in order."""
        built_in = [*SECRETS, PRIVATE_KEY] if "secrets" in self.sets else []
        built_in += PERSONAL if "pii" in self.sets else ()
        stages = [_stage(pattern) for pattern in built_in]
        own = (Stage("a pattern of the user's own", pattern, (OWN_MARK,)) for pattern in self.patterns)
        return (*stages, *own)


def _stage(pattern: Pattern) -> Stage:
    expression = pattern.engine or _re2(pattern.python)
    if pattern is NUMBER:
        return Stage(
            "numbers with check digits",
            expression,
            (IDENTITY_MARK, IBAN_MARK, CARD_MARK),
            check=pattern.check,
        )
    if pattern.check:
        return Stage(pattern.kind, expression, (pattern.mark,), pattern.hints, pattern.check)
    groups = re.compile(expression).groups
    mark = ("\\1" if groups else "") + pattern.mark + ("\\2" if groups > 1 else "")
    twice = groups > 1 and not expression.endswith("()")
    return Stage(pattern.kind, expression, (mark,), pattern.hints, twice=twice)


#: Everything is stored as it comes.
NOTHING = Redaction()


def check_patterns(engine: StoreEngine, patterns: Iterable[str]) -> None:
    """Raise ValueError for an expression that the engine cannot run or that would match everywhere."""
    for pattern in patterns:
        try:
            empty = engine.execute(f"SELECT match('', {literal(pattern)})").strip() == b"1"
        except StoreUnavailable:
            raise
        except StoreError as error:
            raise ValueError(
                f"collector.redact_patterns: {pattern!r} is no regular expression of RE2 (no look-around, no "
                f"back-references; https://github.com/google/re2/wiki/Syntax): {_reason(error)}"
            ) from error
        if empty:
            raise ValueError(
                f"collector.redact_patterns: {pattern!r} matches the empty text and would mark every place: "
                "let it demand at least one character"
            )


def _reason(error: StoreError) -> str:
    match = re.search(r"error: ([^\n]{1,200})", str(error))
    return (match.group(1) if match else str(error)[:200]).rstrip(". ")


def _re2(python: str) -> str:
    """A pattern of the table in RE2's words: characters around it are groups instead of looks around."""
    text = re.sub(r"(?<=[}*])\+", "", python)
    behind = re.match(r"\(\?<!(\[[^]]*\]|\\w|\\d)\)", text)
    if behind is None:
        raise ValueError(f"{python!r} does not begin with a negative look-behind: give it an `engine` form")
    text = f"(^|{_not(behind.group(1))}){text[behind.end() :]}"
    ahead = re.search(r"\(\?!(\[[^]]*\]|\\w|\\d)\)$", text)
    text = f"{text[: ahead.start()]}($|{_not(ahead.group(1))})" if ahead else f"{text}()"
    if "(?=" in text or "(?!" in text or "(?<" in text:
        raise ValueError(f"{python!r} looks around: give it an `engine` form")
    return text


def _not(characters: str) -> str:
    return f"[^{characters[1:-1]}]" if characters.startswith("[") else f"[^{characters}]"
