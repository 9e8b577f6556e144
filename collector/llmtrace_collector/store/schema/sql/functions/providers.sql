-- Which provider a span's call went to: what its emitter names goes before what follows from the address, the model's
-- prefix and the price list. attributes/names.py has the words and the patterns.

-- A provider by its one name; '' for a framework, which is none.
CREATE OR REPLACE FUNCTION llmtrace_provider_name AS (text) ->
    transform(
        lower(text),
        [{{ provider_names | literals }}],
        [{{ provider_names.values() | literals }}],
        text
    );

-- The provider that a span names: by the instrumentation of a server, else by the first of some words that is one.
CREATE OR REPLACE FUNCTION llmtrace_named_provider AS (scope, words) ->
    llmtrace_first(arrayConcat(
        [transform(scope, [{{ server_scopes | literals }}], [{{ server_scopes.values() | literals }}], '')],
        arrayMap(provider_word -> llmtrace_provider_name(provider_word), words)
    ));

-- The host of an address, which may be a URL.
CREATE OR REPLACE FUNCTION llmtrace_host AS (text) ->
    lower(extract(text, '^(?:[a-zA-Z]+://)?(?:[^/@]*@)?([^/:?#]+)'));

-- Which of some patterns a text has first, told by the groups that they are in: one call of a function, where one for
-- each pattern would be planned at each insert.
CREATE OR REPLACE FUNCTION llmtrace_group AS (groups) -> arrayFirstIndex(group -> group != '', groups);

CREATE OR REPLACE FUNCTION llmtrace_provider_of_host AS (host) ->
    llmtrace_first([
        transform(
            llmtrace_group(extractGroups(host, {{ alternatives(provider_host_patterns) | literal }})),
            [{{ range(1, provider_host_patterns | length + 1) | join(', ') }}],
            [{{ provider_host_patterns.values() | literals }}],
            ''
        ),
        transform(
            extract(host, {{ suffix_pattern(provider_hosts) | literal }}),
            [{{ provider_hosts | literals }}],
            [{{ provider_hosts.values() | literals }}],
            ''
        )
    ]);

-- The provider in whose catalogue a model of this name, in small letters, stands, or that a router calls by this prefix.
CREATE OR REPLACE FUNCTION llmtrace_provider_of_prefix AS (model) ->
    llmtrace_first([
        transform(
            llmtrace_group(extractGroups(model, {{ alternatives(model_catalogues) | literal }})),
            [{{ range(1, model_catalogues | length + 1) | join(', ') }}],
            [{{ model_catalogues.values() | literals }}],
            ''
        ),
        transform(
            llmtrace_first([
                extract(model, '^([^/:]+)/'),
                if(match(model, {{ open_weights | literal }}), '', extract(model, '^([^/:]+):[a-z]'))
            ]),
            [{{ model_prefixes | literals }}],
            [{{ model_prefixes.values() | literals }}],
            ''
        )
    ]);

-- The one provider that makes models of this name, in small letters; '' where several do, or where anybody may serve
-- the model.
CREATE OR REPLACE FUNCTION llmtrace_provider_of_list AS (model) ->
    if(
        match(model, {{ open_weights | literal }}),
        '',
        transform(
            arrayStringConcat(
                arrayDistinct(arrayMap(
                    groups -> toString(llmtrace_group(groups)),
                    extractAllGroupsVertical(model, {{ alternatives(model_makers) | literal }})
                )),
                ' '
            ),
            [{{ range(1, model_makers | length + 1) | map('string') | literals }}],
            [{{ model_makers.values() | literals }}],
            ''
        )
    );

-- The provider of a call, and what told it where that was not its emitter. Where the emitter names one that others'
-- clients write too, or none, the address goes first.
CREATE OR REPLACE FUNCTION llmtrace_provider_evidence AS (is_llm, named, host, model) ->
    multiIf(
        NOT is_llm, [named, ''],
        named NOT IN ({{ ([''] + shapes | list) | literals }}), [named, ''],
        arrayFirst(
            provider_candidate -> provider_candidate[1] != '',
            [
                [llmtrace_provider_of_host(host), 'address'],
                [named, ''],
                [llmtrace_provider_of_prefix(model), 'prefix'],
                [llmtrace_provider_of_list(model), 'list'],
                [{{ unknown_provider | literal }}, '']
            ]
        )
    );

CREATE OR REPLACE FUNCTION llmtrace_provider AS (evidence) -> evidence[1];

CREATE OR REPLACE FUNCTION llmtrace_provider_source AS (evidence, named) ->
    if(evidence[1] = named, '', evidence[2]);
