CREATE TABLE otlp_traces_in (
{% include 'parts/traces_request.sql' %}

)
ENGINE = Null
COMMENT 'Requests of spans as they come: nothing stays here, otlp_traces_mv flattens their plain spans into otel_traces';
