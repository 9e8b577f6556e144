{# Rows of usage_hour_closed for a day (Unix seconds of its begin): with `parts` those of these (begin of the hour, LateAt in
   Unix milliseconds), else all of the `projects` in the `hours`. #}
SELECT
    toDateTime(toStartOfHour(usage.Time, 'UTC')) AS Time,
    {% include 'parts/usage_hour_keys.sql' %}, LateAt,
    sum(usage.Calls) AS Calls,
    sum(usage.Errors) AS Errors,
    sum(usage.UnknownUsage) AS UnknownUsage,
    sum(usage.StatedCost) AS StatedCost
{%- for count in counts %},
    sum(usage.{{ count.name }}) AS {{ count.name }}
{%- endfor %}

FROM usage_10s AS usage
WHERE usage.Time >= toDateTime({{ hours | min }}) AND usage.Time < toDateTime({{ (hours | max) + 3600 }})
{% if parts %}
    AND (toUnixTimestamp(toStartOfHour(usage.Time, 'UTC')), toUnixTimestamp64Milli(usage.LateAt)) IN ({{ parts | join(', ') }})
{% else %}
    AND toUnixTimestamp(toStartOfHour(usage.Time, 'UTC')) IN ({{ hours | join(', ') }})
    AND usage.Project IN ({{ projects | literals }})
{% endif %}
GROUP BY Time, {% include 'parts/usage_hour_keys.sql' %}, LateAt
