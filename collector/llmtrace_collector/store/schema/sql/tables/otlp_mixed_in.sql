CREATE TABLE otlp_mixed_in (
{% with nested = true %}{% include 'parts/traces_request.sql' %}{% endwith %}

)
ENGINE = Null
COMMENT 'Requests of which some spans have events or links or speak another dialect: otlp_mixed_mv takes all but the latter';
