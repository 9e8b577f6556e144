CREATE TABLE otlp_mixed_in (
{% include 'parts/traces_request.sql' %}

)
ENGINE = Null
COMMENT 'Requests of which some spans speak another dialect: nothing stays here, otlp_mixed_mv takes the other spans';
