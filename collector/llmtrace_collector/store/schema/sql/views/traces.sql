{# Traces that are not in the table yet are those that gained spans since the task came to the table's end; they are
   told by their spans of the last hour. A late span of one that is in the table corrects its row with the next pass: to
   see that it is there, rows of two hours are looked through, and of a day those whose root may still come. What starts
   more than a day before that is seen when the pass has come to it: parts of other days are not looked into. Where the
   pass has come to is asked once by name: written out at each place, it would be analysed at each. #}
{% set recent %}StoredAt >= edge AND Timestamp >= edge - INTERVAL 1 DAY AND TraceId != ''{% endset %}
{% set which -%}
span.StoredAt >= edge - INTERVAL 1 HOUR AND span.Timestamp >= edge - INTERVAL 1 DAY
    AND (span.Project, span.TraceId) IN (SELECT Project, TraceId FROM otel_traces WHERE {{ recent }})
    AND (span.Project, span.TraceId) NOT IN (
        SELECT Project, TraceId FROM trace_rows
        WHERE Start >= edge - INTERVAL 1 DAY AND (Start >= edge - INTERVAL 2 HOUR OR NOT HasRoot)
            AND TraceId IN (SELECT TraceId FROM otel_traces WHERE {{ recent }})
    )
{%- endset %}
{% set having = '' %}
CREATE VIEW traces AS
SELECT {% include 'parts/trace_names.sql' %}, Version
FROM trace_rows FINAL
UNION ALL
WITH (SELECT max(ScannedTo) FROM rollup_passes WHERE Name = 'traces without root') AS edge
SELECT {% include 'parts/trace_names.sql' %}, 0 AS Version
FROM ({% include 'parts/traces_select.sql' %})
COMMENT 'Traces as a whole: how each ended, what it took, used and holds; Version is 0 until it is quiet';
