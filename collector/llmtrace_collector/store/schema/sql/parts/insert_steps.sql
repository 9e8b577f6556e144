{# The steps of the spans for which `which` holds, which is whole buckets of a service, written anew: rows of steps_10s
   for which `rows` holds and that no span makes any more are taken back in the same insert. #}
INSERT INTO steps_10s ({% include 'parts/step_names.sql' %}, Version, IsDeleted)
SELECT {% include 'parts/step_names.sql' %}, {{ version }} AS Version, Gone AS IsDeleted
FROM (
    SELECT {% include 'parts/step_names.sql' %}, 0 AS Gone FROM ({% include 'parts/steps_select.sql' %})
    UNION ALL
    SELECT {% include 'parts/step_names.sql' %}, 1 AS Gone FROM steps_10s FINAL WHERE {{ rows }}
)
ORDER BY Gone
LIMIT 1 BY Project, Time, ServiceName, StepKind, StepName, Agent, AgentVersion, Status, Purpose
