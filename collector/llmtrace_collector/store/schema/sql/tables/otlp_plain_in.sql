CREATE TABLE otlp_plain_in (
{% with nested = false %}{% include 'parts/traces_request.sql' %}{% endwith %}

)
ENGINE = Null
COMMENT 'Requests of plain spans without events and links: nothing stays here, otlp_plain_mv makes rows of otel_traces of them';
