CREATE TABLE otel_metrics_histogram (
    ResourceAttributes Map(LowCardinality(String), String) COMMENT 'Attributes of the resource' CODEC(ZSTD(1)),
    ResourceSchemaUrl String COMMENT 'Schema of the resource''s attributes' CODEC(ZSTD(1)),
    ScopeName String COMMENT 'Library that measured' CODEC(ZSTD(1)),
    ScopeVersion String COMMENT 'Version of that library' CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) COMMENT 'Attributes of that library' CODEC(ZSTD(1)),
    ScopeDroppedAttrCount UInt32 COMMENT 'Attributes that the library left out' CODEC(ZSTD(1)),
    ScopeSchemaUrl String COMMENT 'Schema of the metric''s attributes' CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) COMMENT 'Service that was measured' CODEC(ZSTD(1)),
    MetricName LowCardinality(String) COMMENT 'Name of the metric' CODEC(ZSTD(1)),
    MetricDescription LowCardinality(String) COMMENT 'What it measures, in words' CODEC(ZSTD(1)),
    MetricUnit LowCardinality(String) COMMENT 'Unit, as in UCUM' CODEC(ZSTD(1)),
    Attributes Map(LowCardinality(String), String) COMMENT 'Attributes of the data point' CODEC(ZSTD(1)),
    StartTimeUnix DateTime64(9) COMMENT 'When counting began' CODEC(Delta(8), ZSTD(1)),
    TimeUnix DateTime64(9) COMMENT 'When it was measured' CODEC(Delta(8), ZSTD(1)),
    Count UInt64 COMMENT 'Number of measurements' CODEC(Delta(8), ZSTD(1)),
    Sum Float64 COMMENT 'Sum of the measurements, in MetricUnit' CODEC(ZSTD(1)),
    BucketCounts Array(UInt64) COMMENT 'Measurements in each bucket' CODEC(ZSTD(1)),
    ExplicitBounds Array(Float64) COMMENT 'Upper bounds of the buckets but the last, in MetricUnit' CODEC(ZSTD(1)),
    `Exemplars.FilteredAttributes` Array(Map(LowCardinality(String), String)) COMMENT 'Attributes that are not the data point''s' CODEC(ZSTD(1)),
    `Exemplars.TimeUnix` Array(DateTime64(9)) COMMENT 'When each was measured' CODEC(ZSTD(1)),
    `Exemplars.Value` Array(Float64) COMMENT 'What was measured, in MetricUnit' CODEC(ZSTD(1)),
    `Exemplars.SpanId` Array(String) COMMENT 'Span in which each was measured' CODEC(ZSTD(1)),
    `Exemplars.TraceId` Array(String) COMMENT 'Trace in which each was measured' CODEC(ZSTD(1)),
    Flags UInt32 COMMENT 'Flags of OTLP' CODEC(ZSTD(1)),
    Min Float64 COMMENT 'Smallest measurement, in MetricUnit' CODEC(ZSTD(1)),
    Max Float64 COMMENT 'Greatest measurement, in MetricUnit' CODEC(ZSTD(1)),
    AggregationTemporality Int32 COMMENT '1: since the last data point, 2: since StartTimeUnix' CODEC(ZSTD(1)),
    Project LowCardinality(String) COMMENT 'Project whose data this is',
    ReceivedAt DateTime64(3) COMMENT 'When the collector received it' CODEC(Delta(8), ZSTD(1)),
    RetentionDays UInt16 DEFAULT 30 COMMENT 'Days that the row is kept'
)
ENGINE = MergeTree
PARTITION BY (RetentionDays, toDate(TimeUnix))
ORDER BY (Project, ServiceName, MetricName, TimeUnix)
TTL toDateTime(TimeUnix) + toIntervalDay(RetentionDays)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_bytes_for_wide_part = 67108864, merge_selector_base = 8, ttl_only_drop_parts = 1
COMMENT 'Histograms (OTLP /v1/metrics): measurements counted by size';
