{# The ten seconds that a span's start lies in. Where a start is held against an upper bound, that is a DateTime64: the
   engine takes a DateTime for whole seconds when it looks for parts, and would leave out those of the last second. #}
{% macro bucket(time) %}toStartOfInterval(toDateTime({{ time }}), INTERVAL 10 SECOND){% endmacro %}
{# A moment, from Unix milliseconds. #}
{% macro moment(milliseconds) %}fromUnixTimestamp64Milli(toInt64({{ milliseconds }})){% endmacro %}
{# Whether a span is kept: what is older is dropped with its part, any moment. #}
{% macro kept(span) %}{{ span }}Timestamp > now() - toIntervalDay({{ span }}RetentionDays){% endmacro %}
