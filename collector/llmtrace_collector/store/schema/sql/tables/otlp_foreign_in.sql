CREATE TABLE otlp_foreign_in (
{% include 'parts/traces_request.sql' %}

)
ENGINE = Null
COMMENT 'The same requests again where a span of theirs speaks another dialect: otlp_foreign_mv takes those spans';
