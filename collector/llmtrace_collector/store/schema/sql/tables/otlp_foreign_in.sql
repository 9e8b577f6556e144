CREATE TABLE otlp_foreign_in (
{% with nested = true %}{% include 'parts/traces_request.sql' %}{% endwith %}

)
ENGINE = Null
COMMENT 'The same requests again where a span of theirs speaks another dialect: otlp_foreign_mv takes those spans';
