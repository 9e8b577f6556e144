{# Rows of usage_hour_closed of the `hours` (Unix seconds of their begin). #}
SELECT
    toDateTime(toStartOfHour(usage.Time, 'UTC')) AS Time,
    {% include 'parts/usage_hour_keys.sql' %},
    sum(usage.Calls) AS Calls,
    sum(usage.Errors) AS Errors,
    sum(usage.UnknownUsage) AS UnknownUsage
{%- for count in counts %},
    sum(usage.{{ count.name }}) AS {{ count.name }}
{%- endfor %}

FROM usage_10s AS usage
WHERE usage.Time >= toDateTime({{ hours | min }}) AND usage.Time < toDateTime({{ (hours | max) + 3600 }})
    AND toUnixTimestamp(toStartOfHour(usage.Time, 'UTC')) IN ({{ hours | join(', ') }})
GROUP BY Time, {% include 'parts/usage_hour_keys.sql' %}

