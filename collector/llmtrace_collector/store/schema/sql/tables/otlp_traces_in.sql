CREATE TABLE otlp_traces_in (
{% with nested = false %}{% include 'parts/traces_request.sql' %}{% endwith %}

)
ENGINE = Null
COMMENT 'Requests of plain spans without events and links: nothing stays here, otlp_traces_mv makes rows of otel_traces of them';
