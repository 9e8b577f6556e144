{# How many traces became quiet: `Near` those whose root came lately and that started after `near` (Unix milliseconds),
   `Far` the others, `Rootless` those of which no root came lately. #}
{% from 'parts/bucket.sql' import moment with context %}
SELECT
    countIf(Rooted AND First >= {{ moment(near) }}) AS Near,
    count() - Near AS Far,
    countIf(NOT Rooted) AS Rootless,
    toUnixTimestamp64Milli(minIf(First, Rooted AND First >= {{ moment(near) }})) AS NearFirst
FROM ({% include 'parts/quieted.sql' %})
