-- When parts of an answer came, in seconds from the request. Speed is what comes after the first token: of n tokens,
-- n - 1 follow it.

-- From one token of output to the next, on the mean. Where nobody says when the last one came, it is taken to have
-- come at the end of the span, of `duration` nanoseconds. NULL without a first token or a second, and where they came
-- at once: then nobody saw how fast they were made. Reasoning tokens count, for a span does not say whether they were
-- streamed; where they were not, they came before the first token, and the time is too short.
CREATE OR REPLACE FUNCTION llmtrace_time_per_output_token AS (first, last, duration, tokens) ->
    multiIf(
        tokens <= 1, NULL,
        ifNull(last, duration / 1e9) > first, (ifNull(last, duration / 1e9) - first) / (tokens - 1),
        NULL
    );

-- Whether that time takes the span's end for the last token's time.
CREATE OR REPLACE FUNCTION llmtrace_tpot_estimated AS (time_per_output_token, last) ->
    if(last IS NULL, time_per_output_token IS NOT NULL, false);

-- The text of the seconds to the first token, as the dialects tell it: in seconds, in milliseconds, as an ISO time, or
-- as the time of the first span event of such a name. `started` is the span's start in nanoseconds; times before it
-- are no times of a first token.
CREATE OR REPLACE FUNCTION llmtrace_first_token AS (seconds, milliseconds, at, started, event_names, event_times) ->
    llmtrace_first(
        arrayConcat(
            [seconds, if(milliseconds = '', '', toString(toFloat64OrZero(milliseconds) / 1000))],
            arrayMap(
                first_token_at -> if(first_token_at < started, '', toString((first_token_at - started) / 1e9)),
                [
                    ifNull(toUnixTimestamp64Nano(parseDateTime64BestEffortOrNull(at, 9, 'UTC')), 0),
                    toInt64(llmtrace_first_token_event(event_names, event_times))
                ]
            )
        )
    );

-- The time of the first span event that marks a first token, 0 without one.
CREATE OR REPLACE FUNCTION llmtrace_first_token_event AS (event_names, event_times) ->
    arrayFirst(
        (first_token_time, first_token_name) -> first_token_name IN ({{ first_token_events | literals }}),
        event_times,
        event_names
    );
