{# Traces that are not in the table yet are those that gained spans since the task came to the table's end; they are
   told by their spans of the last hour. A late span of one that is in the table corrects its row with the next pass. #}
{% set edge %}(SELECT max(ScannedTo) FROM rollup_passes WHERE Name = 'traces without root'){% endset %}
{% set which -%}
span.StoredAt >= {{ edge }} - INTERVAL 1 HOUR
    AND (span.Project, span.TraceId) IN (
        SELECT Project, TraceId FROM otel_traces WHERE StoredAt >= {{ edge }} AND TraceId != ''
    )
    AND (span.Project, span.TraceId) NOT IN (
        SELECT Project, TraceId FROM trace_rows FINAL
        WHERE Start >= ifNull(
            (SELECT minOrNull(Timestamp) FROM otel_traces WHERE StoredAt >= {{ edge }}), now64(9)
        ) - INTERVAL 1 DAY
    )
{%- endset %}
{% set having = '' %}
CREATE VIEW traces AS
SELECT {% include 'parts/trace_names.sql' %}, Version
FROM trace_rows FINAL
UNION ALL
SELECT {% include 'parts/trace_names.sql' %}, 0 AS Version
FROM ({% include 'parts/traces_select.sql' %})
COMMENT 'Traces as a whole: how each ended, what it took, used and holds; Version is 0 until it is quiet';
