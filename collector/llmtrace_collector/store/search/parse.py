"""Text -> search: the grammar, and what each field may be asked.

search := any            any := all ("OR" all)*           all := not+ (with "AND" between them or not)
not    := ("-" | "NOT") not | "(" any ")" | term          term := word | "phrase" | field operator values
"""

from __future__ import annotations

from difflib import get_close_matches

from . import quantities, times
from .errors import SearchError
from .fields import FIELDS, Field, Kind
from .query import Search
from .times import Moment
from .tokens import COMPARISONS, Piece, Token, tokenize
from .tree import (
    Compare,
    Match,
    Node,
    Operator,
    Present,
    Text,
    Value,
    all_of,
    any_of,
    identify,
    negated,
    readings_of_texts,
)

#: Parentheses inside each other, and terms, that a search may have.
DEEPEST, MOST_TERMS = 20, 60

#: Readings of all texts of the period that one search may cost.
MOST_READINGS = 8

_OPERATORS: dict[str, Operator] = {":": "=", "=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def parse(text: str) -> Search:
    """The search that `text` asks for; empty text asks for everything. Raises SearchError."""
    return _Parser(text).search()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(tokenize(text))
        self._next = 0
        self._depth = 0
        self._terms = 0
        self._moments: dict[str, Moment] = {}

    def search(self) -> Search:
        node = self._any() if self._tokens else None
        token = self._peek()
        if token is not None:
            raise SearchError("this parenthesis closes nothing", token.position, token.length)
        if node is not None and readings_of_texts(node) > MOST_READINGS:
            first, last = self._tokens[0], self._tokens[-1]
            raise SearchError(
                f"more than {MOST_READINGS} groups of words: write alternatives side by side, a OR b OR c",
                first.position,
                last.position + last.length - first.position,
            )
        return Search(node, self._moments.get("since"), self._moments.get("until"))

    def _peek(self) -> Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _any(self) -> Node | None:
        """None where there were periods alone."""
        first = self._peek()
        nodes = [self._all()]
        while (token := self._peek()) is not None and token.kind == "OR":
            self._next += 1
            nodes.append(self._all())
        if len(nodes) == 1:
            return nodes[0]
        terms = [node for node in nodes if node is not None]
        if len(terms) < len(nodes) and first is not None:
            raise SearchError(
                "a period cannot be one side of OR", first.position, self._end() - first.position
            )
        return any_of(terms)

    def _all(self) -> Node | None:
        nodes: list[Node] = []
        periods = 0
        while (token := self._peek()) is not None and token.kind not in (")", "OR"):
            if token.kind == "AND":
                if not nodes and not periods:
                    raise SearchError(
                        "AND joins two terms; the first is missing", token.position, token.length
                    )
                self._next += 1
                self._need_term("AND", token)
                continue
            if token.kind == "field" and FIELDS[token.text].kind is Kind.MOMENT:
                self._period(token)
                periods += 1
                continue
            nodes.append(self._not())
        if not nodes and not periods:
            self._missing()
        return all_of(nodes) if nodes else None

    def _missing(self) -> None:
        """Nothing stands where a term must."""
        token = self._tokens[max(0, self._next - 1)]
        what = (
            "there is nothing in the parentheses"
            if token.kind == "("
            else f"a term is missing at {token.text}"
        )
        raise SearchError(what, token.position, token.length)

    def _need_term(self, word: str, token: Token) -> None:
        following = self._peek()
        if following is None or following.kind in (")", "OR", "AND"):
            raise SearchError(f"{word} needs a term after it", token.position, token.length)

    def _not(self) -> Node:
        token = self._tokens[self._next]
        self._next += 1
        if token.kind == "-":
            self._need_term(token.text, token)
            following = self._tokens[self._next]
            if following.kind == "field" and FIELDS[following.text].kind is Kind.MOMENT:
                raise SearchError("a period cannot be negated", following.position, following.length)
            self._deeper(token)
            node = negated(self._not())
            self._depth -= 1
            return node
        if token.kind == "(":
            return self._group(token)
        # Each value of a list is one more condition.
        self._terms += max(1, len(token.values))
        if self._terms > MOST_TERMS:
            raise SearchError(
                f"a search has at most {MOST_TERMS} terms and values", token.position, token.length
            )
        return _term(token)

    def _group(self, opening: Token) -> Node:
        self._deeper(opening)
        node = self._any()
        closing = self._peek()
        if closing is None:
            raise SearchError(
                "this parenthesis is not closed; quotes make text of it", opening.position, opening.length
            )
        self._next += 1
        self._depth -= 1
        if node is None:
            raise SearchError(
                "a period holds for the whole search: it needs no parentheses",
                opening.position,
                closing.position + 1 - opening.position,
            )
        return node

    def _deeper(self, token: Token) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise SearchError(f"more than {DEEPEST} levels inside each other", token.position, token.length)

    def _end(self) -> int:
        token = self._tokens[self._next - 1]
        return token.position + token.length

    def _period(self, token: Token) -> None:
        self._next += 1
        if self._depth:
            raise SearchError(
                "a period holds for the whole search: put it outside", token.position, token.length
            )
        if token.operator != ":" or len(token.values) != 1:
            raise SearchError(
                f"{token.text}: takes one moment", token.position, token.length, FIELDS[token.text].example
            )
        piece = token.values[0]
        moment = times.read_moment(piece.text)
        relative = isinstance(moment, times.Ago)
        if moment is None or (token.text == "last" and not relative):
            wanted = "2h, 7d or 30m" if token.text == "last" else times.EXAMPLES
            raise SearchError(
                f"this is no time; write {wanted}", piece.position, piece.length, _spaced_time(piece.text)
            )
        end = "until" if token.text == "until" else "since"
        if end in self._moments:
            raise SearchError("the period has this end already", token.position, token.length)
        self._moments[end] = moment


def _spaced_time(text: str) -> str | None:
    words = {"today": "24h", "yesterday": "2d", "hour": "1h", "day": "1d", "week": "7d", "month": "30d"}
    return words.get(text.lower())


def _term(token: Token) -> Node:
    if token.kind == "word":
        return identify(token.text) or Text(token.text)
    if token.kind == "phrase":
        return Text(token.text)
    field = FIELDS[token.text]
    if field.kind is Kind.NUMBER:
        return _compare(token, field)
    if field.kind is Kind.ATTRIBUTE:
        return _attribute(token, field)
    if token.operator in ("<", "<=", ">", ">="):
        raise SearchError(
            f"{field.name} is a text: it is compared with {field.name}:VALUE",
            token.position,
            token.length,
            f"{field.name}:{token.values[0].text}",
        )
    values = tuple(_choice(piece, field) if field.choices else _value(piece) for piece in token.values)
    return _match(token, values)


def _match(token: Token, values: tuple[Value, ...]) -> Node:
    match = Match(token.text, values, token.key)
    return negated(match) if token.operator == "!=" else match


def _value(piece: Piece) -> Value:
    if piece.quoted and not piece.text:
        raise SearchError("there is nothing between the quotes", piece.position, piece.length)
    return Value(piece.text, pattern=not piece.quoted and "*" in piece.text)


def _choice(piece: Piece, field: Field) -> Value:
    word = piece.text.lower()
    if word in field.choices:
        return Value(word)
    close = get_close_matches(word, field.choices, n=1, cutoff=0.5)
    raise SearchError(
        f"{field.name} is one of {', '.join(field.choices)}",
        piece.position,
        piece.length,
        close[0] if close else None,
    )


def _compare(token: Token, field: Field) -> Node:
    if len(token.values) > 1:
        raise SearchError(f"{field.name} is compared with one number", token.position, token.length)
    piece = token.values[0]
    number = quantities.read_number(piece.text, field.unit)
    if number is None:
        raise SearchError(
            f"this is no {field.unit}; write it like {quantities.EXAMPLES[field.unit]}",
            piece.position,
            piece.length,
            field.example,
        )
    return Compare(field.name, _OPERATORS[token.operator], number, token.key)


def _attribute(token: Token, field: Field) -> Node:
    if not token.values:
        return Present(field.name, token.key)
    piece = token.values[0]
    single = len(token.values) == 1 and not piece.quoted
    number = quantities.read_number(piece.text, quantities.PLAIN) if single else None
    ordered = token.operator in COMPARISONS and token.operator not in ("=", "!=")
    if ordered and number is None:
        raise SearchError(
            f"{token.operator} compares with a number", piece.position, piece.length, field.example
        )
    # A score is a number where it can be one; an attribute is a text, in which 1 and 1.0 differ.
    if number is not None and (ordered or field.name == "score"):
        return Compare(field.name, _OPERATORS[token.operator], number, token.key)
    return _match(token, tuple(_value(piece) for piece in token.values))
