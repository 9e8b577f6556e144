-- Where an OpenTelemetry Collector or Rotel writes spans itself, on a server: the columns of its ClickHouse exporter,
-- under a name that both can be given (Rotel's are a prefix and `_traces`).

CREATE TABLE landing_traces (
{% with codecs = false %}{% include 'parts/exporter_columns.sql' %}{% endwith %}

)
ENGINE = Null
COMMENT 'Spans that another collector writes to the server: the same views as for ours take them from here';
