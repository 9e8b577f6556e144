-- Content: what people and models said, and what tools were asked and answered. attributes/content.py lists it.

-- Whether an attribute holds content.
CREATE OR REPLACE FUNCTION llmtrace_is_content AS (key) ->
    (
        key IN ({{ content_keys | literals }})
        OR match(key, {{ ('^(' ~ content_prefixes ~ ')') | literal }})
    );

-- Whether an event of this name tells what was said.
CREATE OR REPLACE FUNCTION llmtrace_is_conversation AS (event) ->
    match(event, '^(gen_ai|llm|ai)\\.');

-- A Map of attributes without content.
CREATE OR REPLACE FUNCTION llmtrace_without_content AS (attributes) ->
    mapFilter((without_content_key, without_content_text) -> NOT llmtrace_is_content(without_content_key), attributes);

-- The same of an event's attributes, which are content by their event's name too.
CREATE OR REPLACE FUNCTION llmtrace_event_without_content AS (attributes, event) ->
    mapFilter(
        (event_content_key, event_content_text) -> NOT (
            llmtrace_is_content(event_content_key)
            OR event_content_key IN ({{ event_keys | literals }}) AND llmtrace_is_conversation(event)
        ),
        attributes
    );

-- A name or id, or a list of them; prose that stands in its place goes.
CREATE OR REPLACE FUNCTION llmtrace_name_only AS (text) -> if(match(text, {{ content_name | literal }}), text, '');

-- Whether an attribute's text has a column of its own, in whichever dialect, on spans that call a model.
CREATE OR REPLACE FUNCTION llmtrace_has_column AS (key) ->
    (
        key IN ({{ text_keys | literals }})
        OR match(key, {{ ('^(' ~ text_prefixes | map('replace', '.', '\\.') | join('|') ~ ')\\.\\d') | literal }})
    );
