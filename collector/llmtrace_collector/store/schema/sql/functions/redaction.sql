-- What may not be stored is taken out of texts: patterns of the SDK's table, and the user's own (RE2).
--
-- Every array of texts is searched once; only where something may be in it do the replacements run, one after the
-- other, each over all texts.

-- JSON writes a new line before a word as two characters, of which the second looks like a part of the word. While
-- patterns run, such pairs are single characters of a private range.
CREATE OR REPLACE FUNCTION llmtrace_escapes_joined AS (text) ->
    if(
        position(text, '\\') > 0,
        replaceRegexpAll(
            {{ 'replaceAll(' * escapes | length }}
                text
{% for pair, single in escapes %}
            , {{ pair | literal }}, {{ single | literal }})
{% endfor %}
            , {{ '\\\\u([0-9A-Fa-f]{4})' | literal }}, {{ (unicode[0] ~ '\\1' ~ unicode[1]) | literal }}
        ),
        text
    );

-- The same back; every character of the private range begins with these two bytes.
CREATE OR REPLACE FUNCTION llmtrace_escapes_restored AS (text) ->
    if(
        position(text, unhex('EFA3')) > 0,
        {{ 'replaceAll(' * escapes | length }}
            replaceRegexpAll(
                text, {{ (unicode[0] ~ '([0-9A-Fa-f]{4})' ~ unicode[1]) | literal }}, {{ '\\\\u\\1' | literal }}
            )
{% for pair, single in escapes | reverse %}
        , {{ single | literal }}, {{ pair | literal }})
{% endfor %}
        , text
    );

-- A text split so that every second piece is a match: group 2 of the expression, group 1 is what stands before it.
CREATE OR REPLACE FUNCTION llmtrace_split_by_match AS (text, expression) ->
    splitByString(
        {{ between | literal }},
        replaceRegexpAll(
            replaceAll(text, {{ between | literal }}, ''),
            expression,
            {{ ('\\1' ~ between ~ '\\2' ~ between) | literal }}
        )
    );

-- What becomes of a match that looks like an address of IPv6: three digits at least.
CREATE OR REPLACE FUNCTION llmtrace_ip_or_mark AS (matched, mark) ->
    if(
        isIPv6String(matched) AND length(replaceRegexpAll(matched, '[^0-9A-Za-z]', '')) >= 3,
        mark,
        matched
    );

-- Digits and what stands between them as Chinese and Japanese keyboards write them, read as those of ASCII; of JSON,
-- whose escapes are joined.
CREATE OR REPLACE FUNCTION llmtrace_wide_plain AS (text) ->
    if(
        match(text, {{ ('[' ~ wide ~ ']|' ~ unicode[0] ~ '(?i:ff1[0-9]|ff20)') | literal }}),
        translateUTF8(
            {{ 'replaceRegexpAll(' * wide_escapes | length }}
                text
{% for escape, plain in wide_escapes %}
            , {{ (unicode[0] ~ '(?i)' ~ escape ~ unicode[1]) | literal }}, {{ plain | literal }})
{% endfor %}
            , {{ wide_characters | literal }}
            , {{ plain_characters | literal }}
        ),
        text
    );

-- Where neither a country's code nor brackets say so, a phone number has 10 to 12 digits: '01-2345678' is none.
CREATE OR REPLACE FUNCTION llmtrace_phone_or_mark AS (matched, mark) ->
    if(
        match(matched, '^[+(]') OR length(replaceRegexpAll(matched, '[^0-9]', '')) BETWEEN 10 AND 12,
        mark,
        matched
    );

-- Identity numbers of China: 18 digits, weighted, leave 1 by 11; the last may be an X, which is 10.
CREATE OR REPLACE FUNCTION llmtrace_is_identity AS (digits) ->
    length(digits) = {{ identity_weights | length }}
    AND match(digits, '^[0-9]+[0-9Xx]$')
    AND arraySum(
        (identity_digit, identity_place) ->
            if(ascii(identity_digit) > 57, 10, ascii(identity_digit) - 48)
            * {{ identity_weights }}[identity_place],
        extractAll(digits, '.'),
        range(1, length(digits) + 1)
    ) % 11 = 1;

-- Card numbers: digits as an issuer gives them, and the check digit by Luhn: of the digits from the last, every second
-- counts double.
CREATE OR REPLACE FUNCTION llmtrace_is_card AS (digits) ->
    match(digits, {{ card_digits | literal }})
    AND arraySum(
        (card_digit, card_place) -> multiIf(
            card_place % 2 = 1, ascii(card_digit) - 48,
            ascii(card_digit) > 52, 2 * ascii(card_digit) - 105,
            2 * ascii(card_digit) - 96
        ),
        reverse(extractAll(digits, '.')),
        range(1, length(digits) + 1)
    ) % 10 = 0;

-- Account numbers: as long as the country's are, and the check digits: the number with its first four characters last,
-- letters as numbers from 10 on, leaves 1 when it is divided by 97.
CREATE OR REPLACE FUNCTION llmtrace_is_iban AS (digits) ->
    length(digits) = transform(
        substring(digits, 1, 2), [{{ iban_lengths.keys() | literals }}], {{ iban_lengths.values() | list }}, 0
    )
    AND arrayFold(
        (iban_rest, iban_character) -> toUInt64((
            iban_rest * if(ascii(iban_character) > 64, 100, 10)
            + if(ascii(iban_character) > 64, ascii(iban_character) - 55, ascii(iban_character) - 48)
        ) % 97),
        extractAll(concat(substring(digits, 5), substring(digits, 1, 4)), '.'),
        toUInt64(0)
    ) = 1;

-- The beginnings of a match that end where a group of characters does, the longest first.
CREATE OR REPLACE FUNCTION llmtrace_number_beginnings AS (matched) ->
    arrayReverse(arrayMap(
        beginning_length -> substring(matched, 1, beginning_length),
        arrayFilter(
            beginning_end -> match(substring(matched, beginning_end, 1), '[0-9A-Za-z]') AND (
                beginning_end = length(matched)
                OR match(substring(matched, beginning_end + 1, 1), '[^0-9A-Za-z]')
            ),
            range(1, length(matched) + 1)
        )
    ));

-- A match of a number with check digits without the longest beginning whose check digits are right: what follows is no
-- part of it.
CREATE OR REPLACE FUNCTION llmtrace_number_or_mark AS (matched, identity_mark, iban_mark, card_mark) ->
    arrayMap(
        number_valid -> if(
            number_valid = '',
            matched,
            concat(
                multiIf(
                    matched > 'A', iban_mark,
                    llmtrace_is_identity(replaceRegexpAll(number_valid, '[ -]', '')), identity_mark,
                    card_mark
                ),
                substring(matched, length(number_valid) + 1)
            )
        ),
        [arrayFirst(
            number_beginning -> arrayMap(
                number_digits -> if(
                    number_digits > 'A',
                    llmtrace_is_iban(number_digits),
                    llmtrace_is_card(number_digits) OR llmtrace_is_identity(number_digits)
                ),
                [replaceRegexpAll(number_beginning, '[ -]', '')]
            )[1],
            llmtrace_number_beginnings(matched)
        )]
    )[1];
{% if redaction.replaces %}

-- Whether a text may hold anything to replace; false matches only cost time. An address is in many texts, one with a
-- password in few.
CREATE OR REPLACE FUNCTION {{ redaction.function }}_concerns AS (text) ->
    false
{% if redaction.secret_hints %}
    OR multiSearchAny(text, [{{ redaction.secret_hints | literals }}])
    OR position(text, '://') > 0 AND position(text, '@') > 0
{% endif %}
{% if redaction.personal_hint %}
    OR match(text, {{ redaction.personal_hint | literal }})
{% endif %}
{% if redaction.own_hint %}
    OR match(text, {{ redaction.own_hint | literal }})
{% endif %};

{% for stage in redaction.stages %}
{% set name = 'redacted_' ~ loop.index %}
{% set expression = stage.expression | literal %}
-- Stage {{ loop.index }}: {{ stage.what }}.
CREATE OR REPLACE FUNCTION {{ redaction.function }}_{{ loop.index }} AS (texts) ->
    arrayMap(
        {{ name }}_text ->
{% if stage.hints %}
            if(multiSearchAny({{ name }}_text, [{{ stage.hints | literals }}]),
{% endif %}
{% if stage.check %}
            arrayMap(
                {{ name }}_pieces -> arrayStringConcat(arrayMap(
                    ({{ name }}_piece, {{ name }}_place) -> if(
                        {{ name }}_place % 2 = 0,
                        llmtrace_{{ stage.check }}_or_mark({{ name }}_piece, {{ stage.marks | literals }}),
                        {{ name }}_piece
                    ),
                    {{ name }}_pieces,
                    arrayEnumerate({{ name }}_pieces)
                ), ''),
                [llmtrace_split_by_match({{ name }}_text, {{ expression }})]
            )[1]
{% elif stage.twice %}
            replaceRegexpAll(
                replaceRegexpAll({{ name }}_text, {{ expression }}, {{ stage.marks | literals }}),
                {{ expression }},
                {{ stage.marks | literals }}
            )
{% else %}
            replaceRegexpAll({{ name }}_text, {{ expression }}, {{ stage.marks | literals }})
{% endif %}
{% if stage.hints %}
            , {{ name }}_text)
{% endif %},
{% if loop.first %}
        arrayMap(redacted_joined -> {{ 'llmtrace_wide_plain(' if redaction.personal_hint }}llmtrace_escapes_joined(redacted_joined){{ ')' if redaction.personal_hint }}, texts)
{% else %}
        {{ redaction.function }}_{{ loop.index - 1 }}(texts)
{% endif %}
    );

{% endfor %}
-- Texts with every match replaced by its mark{% if redaction.personal_hint %}; one of which nothing is taken out keeps its
-- digits as they were{% endif %}.
CREATE OR REPLACE FUNCTION {{ redaction.function }} AS (texts) ->
    arrayMap(
        redacted_texts -> if(
            arrayExists(redacted_concern -> {{ redaction.function }}_concerns(redacted_concern), redacted_texts),
            arrayMap(
{% if redaction.personal_hint %}
                (redacted_done, redacted_before) -> if(
                    match(redacted_before, {{ wide_hint | literal }})
                    AND redacted_done = llmtrace_wide_plain(llmtrace_escapes_joined(redacted_before)),
                    redacted_before,
                    llmtrace_escapes_restored(redacted_done)
                ),
                {{ redaction.function }}_{{ redaction.stages | length }}(redacted_texts),
                redacted_texts
{% else %}
                redacted_done -> llmtrace_escapes_restored(redacted_done),
                {{ redaction.function }}_{{ redaction.stages | length }}(redacted_texts)
{% endif %}
            ),
            redacted_texts
        ),
        [texts]
    )[1];

-- The attributes of OTLP as a Map. Keys and values are searched together, and once.
CREATE OR REPLACE FUNCTION {{ redaction.function }}_attributes AS (attributes) ->
    arrayMap(
        redacted_pairs -> llmtrace_attribute_map(
            arraySlice(redacted_pairs, 1, length(attributes)),
            llmtrace_cleaned_texts(
                tupleElement(attributes, 'value'), arraySlice(redacted_pairs, length(attributes) + 1)
            )
        ),
        [{{ redaction.function }}(arrayConcat(
            tupleElement(attributes, 'key'), llmtrace_searched_texts(tupleElement(attributes, 'value'))
        ))]
    )[1];

-- A Map as another writer sent it.
CREATE OR REPLACE FUNCTION {{ redaction.function }}_map AS (attributes) ->
    arrayMap(
        redacted_entries -> mapFromArrays(
            arraySlice(redacted_entries, 1, length(mapKeys(attributes))),
            arraySlice(redacted_entries, length(mapKeys(attributes)) + 1)
        ),
        [{{ redaction.function }}(arrayConcat(
            CAST(mapKeys(attributes) AS Array(String)), mapValues(attributes)
        ))]
    )[1];
{% endif %}
