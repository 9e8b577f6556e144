"""Redaction in the engine: SQL by which the views that decode requests take out what may not be stored.

Patterns are the SDK's table and the user's own (RE2). Every array of texts is searched once; only where
something may be in it do the replacements run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmtrace_collector.sql_values import literal, literals
from llmtrace_collector.store.engine import StoreEngine, StoreError, StoreUnavailable

from .dialects.sqltext import let

if TYPE_CHECKING:
    from llmtrace.redaction.patterns import Pattern

#: What stands in the place of what a pattern of the user's own matched.
OWN_MARK = "[redacted:own]"

#: What stands in the place of bytes, in which no pattern can be read.
BYTES_MARK = "[redacted:bytes]"

#: JSON writes a new line before a word as two characters, of which the second looks like a part of the word.
#: While patterns run, such pairs are single characters of a private range.
_ESCAPES = (("\\\\", "\uf8f0"), ("\\n", "\uf8f1"), ("\\r", "\uf8f2"), ("\\t", "\uf8f3"), ('\\"', "\uf8f4"))
_BACKSLASH = "\\"
_UNICODE = ("\uf8f5", "\uf8f6")
_BETWEEN = "\uf8f7"

#: What every text with a match of the personal patterns holds: signs of an address, digits in number, or with
#: something between them as in dates. Ids of hexadecimal digits mostly hold none.
_PERSONAL_HINT = (
    r"@|:[0-9A-Fa-f]{0,4}:|\d{13}|[+(][ (]?\d(?:[ ()/.-]{0,2}\d){7}|\d[ ()/.-]{1,3}\d[\d ()/.-]{4}|"
    r"[\d ()/.-]{4}\d[ ()/.-]{1,3}\d|[A-Z]{2}\d{2} ?[A-Z0-9]{4}"
)


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

    def clean(self, texts: str) -> str:
        """SQL of the array of texts `texts` with every match replaced by its mark."""
        if not self.replaces:
            return texts
        stages = "x"
        for stage in (_escaped("t"), *self._stages(), _unescaped("t")):
            stages = f"arrayMap(t -> {stage}, {stages})"
        return let("x", texts, f"if(arrayExists(t -> {self._concerns('t')}, x), {stages}, x)")

    def _concerns(self, text: str) -> str:
        """Whether a text may hold anything to replace; false matches only cost time."""
        from llmtrace.redaction.patterns import PRIVATE_KEY, SECRETS

        conditions = []
        if "secrets" in self.sets:
            # An address is in many texts, one with a password in few.
            hints = {hint for pattern in (*SECRETS, PRIVATE_KEY) for hint in pattern.hints} - {"://"}
            conditions.append(f"multiSearchAny({text}, [{literals(sorted(hints))}])")
            conditions.append(f"position({text}, '://') > 0 AND position({text}, '@') > 0")
        if "pii" in self.sets:
            conditions.append(f"match({text}, {literal(_PERSONAL_HINT)})")
        if self.patterns:
            either = "|".join(f"(?:{pattern})" for pattern in self.patterns)
            conditions.append(f"match({text}, {literal(either)})")
        return " OR ".join(f"({condition})" for condition in conditions)

    def _stages(self) -> Iterable[str]:
        """SQL over `t` of one replacement each, in order."""
        from llmtrace.redaction.patterns import CARD, IBAN, PERSONAL, PRIVATE_KEY, SECRETS

        built_in = [*SECRETS, PRIVATE_KEY] if "secrets" in self.sets else []
        built_in += PERSONAL if "pii" in self.sets else []
        for pattern in built_in:
            expression = pattern.engine or _re2(pattern.python)
            if pattern is IBAN:
                # Numbers with check digits share a stage: it is long, and every insert reads it.
                done = _numbers(IBAN, CARD)
            elif pattern is CARD:
                continue
            elif pattern.check:
                done = _checked(expression, _CHECKS[pattern.check].replace("{mark}", literal(pattern.mark)))
            else:
                groups = re.compile(expression).groups
                mark = ("\\1" if groups else "") + pattern.mark + ("\\2" if groups > 1 else "")
                done = f"replaceRegexpAll(t, {literal(expression)}, {literal(mark)})"
                if groups > 1 and not expression.endswith("()"):
                    # What stands after one match may be what stands before the next.
                    done = f"replaceRegexpAll({done}, {literal(expression)}, {literal(mark)})"
            if pattern.hints:
                done = f"if(multiSearchAny(t, [{literals(pattern.hints)}]), {done}, t)"
            yield done
        for own in self.patterns:
            yield f"replaceRegexpAll(t, {literal(own)}, {literal(OWN_MARK)})"


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


def _escaped(text: str) -> str:
    done = text
    for pair, single in _ESCAPES:
        done = f"replaceAll({done}, {literal(pair)}, {literal(single)})"
    written, held = r"\\u([0-9A-Fa-f]{4})", f"{_UNICODE[0]}\\1{_UNICODE[1]}"
    done = f"replaceRegexpAll({done}, {literal(written)}, {literal(held)})"
    return f"if(position({text}, {literal(_BACKSLASH)}) > 0, {done}, {text})"


def _unescaped(text: str) -> str:
    held, written = f"{_UNICODE[0]}([0-9A-Fa-f]{{4}}){_UNICODE[1]}", r"\\u\1"
    done = f"replaceRegexpAll({text}, {literal(held)}, {literal(written)})"
    for pair, single in reversed(_ESCAPES):
        done = f"replaceAll({done}, {literal(single)}, {literal(pair)})"
    # The first two bytes of every character of the private range.
    return f"if(position({text}, unhex('EFA3')) > 0, {done}, {text})"


def _checked(expression: str, chosen: str) -> str:
    """`t`, each match `m` of it replaced by `chosen`, SQL; the time is linear in the text."""
    between, around = literal(_BETWEEN), literal(f"\\1{_BETWEEN}\\2{_BETWEEN}")
    marked = f"replaceRegexpAll(replaceAll(t, {between}, ''), {literal(expression)}, {around})"
    # Every second piece is a match.
    pieces = f"arrayMap((m, n) -> if(n % 2 = 0, {chosen}, m), s, arrayEnumerate(s))"
    return let("s", f"splitByString({between}, {marked})", f"arrayStringConcat({pieces}, '')")


def _numbers(iban: Pattern, card: Pattern) -> str:
    """`t` without account and card numbers whose check digits are right. Of a match, the longest beginning
    that ends where a group of characters does counts: what follows is no part of it.
    """
    # Without the first group, which says what may stand before: check digits make up for it.
    bodies = "|".join(f"(?:{pattern.engine.partition(')')[2][1:]}" for pattern in (iban, card))
    plain = "[^0-9A-Za-z]"
    ends = (
        f"arrayFilter(n -> match(substring(m, n, 1), '[0-9A-Z]') AND "
        f"(n = length(m) OR match(substring(m, n + 1, 1), {literal(plain)})), range(1, length(m) + 1))"
    )
    begun = f"arrayReverse(arrayMap(n -> substring(m, 1, n), {ends}))"
    valid = let("d", f"replaceRegexpAll(b, {literal(plain)}, '')", f"if(d > 'A', {_IBAN}, {_CARD})")
    marked = f"concat(if(m > 'A', {literal(iban.mark)}, {literal(card.mark)}), substring(m, length(f) + 1))"
    chosen = let("f", f"arrayFirst(b -> {valid}, {begun})", f"if(f = '', m, {marked})")
    return _checked(rf"(^|[^\d])({bodies})", chosen)


_LUHN = (
    "arraySum((c, i) -> if(i % 2 = 1, ascii(c) - 48, "
    "if(ascii(c) > 52, 2 * ascii(c) - 105, 2 * ascii(c) - 96)), "
    "reverse(extractAll(d, '.')), range(1, length(d) + 1)) % 10 = 0"
)
_MOD_97 = (
    "arrayFold((rest, c) -> toUInt64((rest * if(ascii(c) > 64, 100, 10) + "
    "if(ascii(c) > 64, ascii(c) - 55, ascii(c) - 48)) % 97), "
    "extractAll(concat(substring(d, 5), substring(d, 1, 4)), '.'), toUInt64(0)) = 1"
)

_CARD = f"length(d) >= 13 AND length(d) <= 19 AND length(arrayDistinct(extractAll(d, '.'))) > 1 AND {_LUHN}"
_IBAN = f"length(d) >= 15 AND length(d) <= 34 AND {_MOD_97}"

#: What becomes of a match `m`.
_CHECKS = {
    "ip": "if(isIPv6String(m) AND length(replaceRegexpAll(m, '[^0-9A-Za-z]', '')) >= 3, {mark}, m)",
    # A leading plus, bracket or zero, and a separator or country code: bare digits are ids and amounts.
    "phone": r"if(startsWith(m, '+') OR NOT match(m, '^\\d+$') AND position(m, '.') = 0, {mark}, m)",
}
