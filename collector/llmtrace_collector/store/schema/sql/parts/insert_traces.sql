{# The traces for which `having` holds, of the spans for which `which` holds, written anew. Where some of them have
   rows, `replaces`, those for which `rows` holds and that have another start now are taken back in the same insert. #}
INSERT INTO trace_rows ({% include 'parts/trace_names.sql' %}, Version, IsDeleted)
SELECT {% include 'parts/trace_names.sql' %}, {{ version }} AS Version, Gone AS IsDeleted
FROM (
    SELECT {% include 'parts/trace_names.sql' %}, 0 AS Gone FROM ({% include 'parts/traces_select.sql' %})
{% if replaces %}
    UNION ALL
    SELECT {% include 'parts/trace_names.sql' %}, 1 AS Gone FROM trace_rows FINAL WHERE {{ rows }}
{% endif %}
)
{% if replaces %}
ORDER BY Gone
LIMIT 1 BY Project, Start, TraceId
{% endif %}
