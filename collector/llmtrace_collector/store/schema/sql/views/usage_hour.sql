{# What a closed hour gained since the last pass of the task is read from the ten seconds, like the hours that are not
   closed yet: at every moment the hours are the sum of all usage that was stored. What came late is a part of its own
   (LateAt) of both tables: of an hour that the ten seconds have lost, only that is read from them. #}
{% set passes %}(SELECT (max(ScannedTo), max(Until)) FROM rollup_passes WHERE Name = 'usage_hour'){% endset %}
{% set stale -%}
(SELECT groupUniqArray((toDateTime(toStartOfHour(Time, 'UTC')), LateAt)) FROM usage_10s
        WHERE Time < {{ passes }}.2 AND StoredAt >= {{ passes }}.1)
{%- endset %}
CREATE VIEW usage_hour AS
SELECT Time, {% include 'parts/usage_hour_keys.sql' %}, {% include 'parts/usage_hour_counts.sql' %}

FROM usage_hour_closed
WHERE Time < {{ passes }}.2
    AND (empty({{ stale }}) OR NOT has({{ stale }}, (Time, LateAt)))
UNION ALL
SELECT toDateTime(toStartOfHour(Time, 'UTC')) AS Time, {% include 'parts/usage_hour_keys.sql' %}, {% include 'parts/usage_hour_counts.sql' %}

FROM usage_10s
WHERE usage_10s.Time >= arrayMin(arrayPushBack({{ stale }}.1, {{ passes }}.2))
    AND (
        usage_10s.Time >= {{ passes }}.2
        OR has({{ stale }}, (toDateTime(toStartOfHour(usage_10s.Time, 'UTC')), usage_10s.LateAt))
    )
COMMENT 'Usage of models by the hour, in the classes that prices depend on: hours that are over from usage_hour_closed, the others from usage_10s';
