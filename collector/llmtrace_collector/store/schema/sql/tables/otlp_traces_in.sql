CREATE TABLE otlp_traces_in (
{% with nested = true %}{% include 'parts/traces_request.sql' %}{% endwith %}

)
ENGINE = Null
COMMENT 'Requests of any spans: nothing stays here, otlp_traces_mv makes rows of otel_traces of those that speak no other dialect';
