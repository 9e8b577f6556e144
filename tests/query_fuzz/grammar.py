"""Texts made of the grammar's tokens."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

#: Values, by type; columns that most of our tables have are among them.
_NUMBERS = "1 42 0.5 0x1F 1e3 length(Project) n number x InputTokens inf".split()
_STRINGS = [
    "Project",
    "Project",
    "'a'",
    "'it''s'",
    "'‘file’('",
    "'\\n\\x41'",
    "'--'",
    "Model",
    "TraceId",
    "s",
]
_ARRAYS = ["[1, 2]", "['a', 'b']", "range(3)", "emptyArrayString()", "Tags", "mapKeys(map('a', 1))"]

#: Tables that may be read, that may not, and what may be a WITH's.
_TABLES = (
    "otel_traces otel_logs scores usage_10s traces span_cost llmtrace.otel_traces default.scores".split()
)
_FORBIDDEN = (
    "api_keys schema_versions usage_10s_mv usage_10s_rebuild system.users system.one system.tables file "
    "merge `api_keys` default.api_keys otlp_traces_in store_versions"
).split()
_WITHS = "w v otel_traces api_keys usage_10s_rebuild store_versions_rebuild".split()

#: Functions of anything, of strings, aggregates, and those that do more than compute.
_CALLS = "toString toTypeName isNull identity cityHash64 materialize toNullable ignore isNotNull".split()
_STRING_CALLS = (
    "upper lower length hex reverse lowerUTF8 toInt64OrZero positionCaseInsensitive concat".split()
)
_AGGREGATES = "count any uniq max min groupArray uniqExact anyLast countDistinct argMax".split()
_WAYS_OUT = (
    "file FILE `file` dictGet joinGet getSetting hostName currentUser in globalIn sleep url numbers "
    "fil\u0435 initializeAggregation user version String Array tuple upper accurateCast "
    "arrayReduce JSONExtract"
).split()

#: White space and quotes of the engine, of the parser, or of nobody; and what changes how the rest is read.
_ODD = (
    "\u200b \u2060 \ufeff \u180e \u00a0 \u3000 \u2028 \u0085 \x0b \x0c \0 \x1a ‘ ’ “ ” ' \" ` \\ ; ( ) { } "
    "[ ] # $ @ ? : . , - / * % = < > | & ^ ~ ! /* */ -- #! $$ $a$ :: -> || <=> {p:String} {t:Identifier} '' "
    "\\' IN AS NOT FORMAT SETTINGS APPLY(file) INTO OUTFILE WITH 1:: EXCEPT FINAL SAMPLE COLUMNS('a') * "
    "file( ARRAY JOIN DISTINCT ON"
).split(" ")

_TYPES = (
    "Nullable(String) String Array(Tuple(a String, b Int8)) LowCardinality(String) DateTime64(3,'UTC') "
    "AggregateFunction(sum,Int8) Decimal(10,2)"
).split(" ")


class TextMaker:
    """Makes texts of what `random` says."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._pick = random.choice

    def text(self) -> str:
        """A SELECT; one in three has odd characters at some places."""
        text = self._select(1)
        if self._one_in(12):
            text += self._pick(
                [" FORMAT CSV", " SETTINGS max_threads = 1", " FORMAT JSON SETTINGS limit = 1", ";"]
            )
        return self._odd(text) if self._one_in(3) else text

    def _one_in(self, count: int) -> bool:
        return self._random.randrange(count) == 0

    def _odd(self, text: str) -> str:
        for _ in range(self._random.choice((1, 1, 2, 3))):
            # Between two words as a rule: there they may pass for white space.
            gaps = [at for at, character in enumerate(text) if character in " (,"]
            at = self._pick(gaps) if gaps and not self._one_in(3) else self._random.randrange(len(text) + 1)
            text = text[:at] + self._pick(_ODD) + text[at + self._random.randrange(2) :]
        return text

    def _select(self, depth: int) -> str:
        parts = []
        if self._one_in(4):
            name = self._pick(_WITHS)
            element = f"{name} AS ({self._select(0)})" if not self._one_in(4) else f"1 AS {name}"
            parts.append(f"WITH {element}")
        grouped = self._one_in(4)
        items = [self._item(depth + 1, grouped=grouped) for _ in range(self._random.randrange(1, 3))]
        parts.append(f"SELECT {'DISTINCT ' * self._one_in(8)}{', '.join(items)}")
        if not self._one_in(8):
            parts.append(f"FROM {self._table(depth)}")
            if self._one_in(5):
                parts.append(self._join(depth))
        if self._one_in(6):
            parts.append(f"PREWHERE {self._condition(depth)}")
        if self._one_in(3):
            parts.append(f"WHERE {self._condition(depth)}")
        if self._one_in(6):
            parts.append(self._pick(["GROUP BY ALL", "GROUP BY Project", "GROUP BY 1 WITH TOTALS"]))
        if self._one_in(6):
            parts.append(f"ORDER BY {self._pick(['1', 'Project DESC', 'ALL', 'n ASC NULLS LAST'])}")
        if self._one_in(6):
            parts.append(self._pick(["LIMIT 1", "LIMIT 1 BY 1", "LIMIT 1 OFFSET 2", "LIMIT 2, 3"]))
        if depth and self._one_in(8):
            operator = self._pick(["UNION ALL", "UNION DISTINCT", "EXCEPT", "INTERSECT"])
            parts.append(f"{operator} {self._select(0)}")
        return " ".join(parts)

    def _item(self, depth: int, *, grouped: bool) -> str:
        alias = self._pick(["", "", " AS n", " AS `a b`", " AS user", ' AS "s"', " x"])
        if self._one_in(12):
            return self._pick(
                ["*", "* EXCEPT (Project)", "t.*", "COLUMNS('Pro')", "* REPLACE (1 AS Project)"]
            )
        if not grouped:
            return self._expression(depth) + alias
        call = self._pick(_AGGREGATES)
        inner = self._expression(depth - 1)
        if call == "argMax":
            inner += f", {self._expression(0)}"
        over = self._pick(["", "", "", " OVER (PARTITION BY Project ORDER BY 1)", " FILTER (WHERE 1)"])
        return (
            self._pick([f"{call}({inner})", f"quantile(0.5)(length({inner}))", f"{call}If({inner}, 1)"])
            + over
            + alias
        )

    def _table(self, depth: int) -> str:
        kind = self._random.randrange(16)
        alias = self._pick(["", "", " AS t", " AS x", ' AS "q"'])
        if kind < 9:
            return self._pick(_TABLES) + alias
        if kind == 9:
            return self._pick(_FORBIDDEN) + alias
        if kind == 10:
            return f"numbers(3){alias}"
        if kind == 11:
            return f"values('Project String, n Int8', ('a', 1)){alias}"
        if kind < 14:
            return self._pick(_WITHS) + alias
        return f"({self._select(max(depth - 1, 0))}){alias}" if depth else self._pick(_TABLES)

    def _join(self, depth: int) -> str:
        kind = self._pick(
            ["JOIN", "LEFT JOIN", "ANY LEFT JOIN", "CROSS JOIN", "GLOBAL JOIN", "ARRAY JOIN", ","]
        )
        if kind == "ARRAY JOIN":
            return "ARRAY JOIN [1, 2] AS k"
        on = self._pick([" USING (Project)", " ON 1 = 1"]) if kind not in (",", "CROSS JOIN") else ""
        return f"{kind} {self._table(depth)}{on}"

    def _condition(self, depth: int) -> str:
        left = self._expression(depth)
        kind = self._random.randrange(6)
        if kind == 0:
            return f"toString({left}) {self._pick(['=', '!=', '<>', '==', '<', '<=>'])} {self._string()}"
        if kind == 1:
            return f"Project {self._pick(['LIKE', 'NOT LIKE', 'ILIKE'])} 'a%'"
        if kind == 2:
            places = [
                "(1, 2)",
                "('a')",
                "(n)",
                "api_keys",
                "(otel_traces)",
                "['a']",
                "tuple('a')",
                "('a', 'b')",
            ]
            return f"toString({left}) {self._pick(['IN', 'NOT IN', 'GLOBAL IN'])} {self._pick(places)}"
        if kind == 3:
            inside = "SELECT toString(1) FROM " + self._table(0) if self._one_in(2) else self._select(0)
            return f"toString({left}) IN ({inside})"
        if kind == 4:
            return f"{self._number()} BETWEEN 1 AND 2 {self._pick(['AND', 'OR', 'AND NOT'])} isNull({left})"
        return f"isNotNull({left})"

    def _expression(self, depth: int) -> str:
        if depth <= 0 or self._one_in(5):
            return self._pick([self._number, self._string, self._array])()
        inner = self._expression(depth - 1)
        kind = self._random.randrange(24)
        if kind < 4:
            return f"{self._pick(_CALLS)}({inner})"
        if kind < 7:
            call = self._pick(_STRING_CALLS)
            return f"{call}(toString({inner}){', Project' * (call[0] in 'pc')})"
        if kind == 7:
            return f"{self._pick(_WAYS_OUT)}({inner}{self._pick(['', ', 1', f', {chr(39)}String{chr(39)}'])})"
        if kind == 8:
            return f"{self._number()} {self._pick([*'+-*/%'])} {self._number()}"
        if kind == 9:
            return f"CASE WHEN isNull({inner}) THEN {self._number()} ELSE {self._number()} END"
        if kind == 10:
            return f"arrayMap(x -> {self._pick(['x', 'toString(x)', inner, 'file(x)'])}, {self._array()})"
        if kind == 11:
            return f"arrayMap({self._pick(['upper', 'file', '(file)', 'Tags'])}, {self._array()})"
        if kind == 12:
            return f"({self._select(0)})"
        if kind == 13:
            return f"({inner}, {self._string()})"
        simple = [
            f"CAST({inner} AS {self._pick(_TYPES)})",
            f"CAST({inner}, '{self._pick(_TYPES[:4])}')",
            f"toString({inner})::LowCardinality(String)",
            f"[{inner}]",
            f"NOT isNull({inner})",
            f"-{self._number()}",
            f"({inner}) IS NOT NULL",
            f"toString({inner}) || 'a'",
            f"if(isNull({inner}), 1, 2)",
            f"map('a', {inner})['a']",
            f"now() - INTERVAL {self._number()} DAY",
            "EXTRACT(YEAR FROM now())",
        ]
        return self._pick(simple)

    def _number(self) -> str:
        return self._pick(_NUMBERS[:6]) if not self._one_in(4) else self._pick(_NUMBERS)

    def _string(self) -> str:
        return self._pick(_STRINGS[:7]) if not self._one_in(4) else self._pick(_STRINGS)

    def _array(self) -> str:
        return self._pick(_ARRAYS[:4]) if not self._one_in(4) else self._pick(_ARRAYS)


def texts() -> SearchStrategy[str]:
    """Sound texts and odd ones."""
    return st.randoms(use_true_random=True).map(lambda random: TextMaker(random).text())
