{# Single measurements behind a data point. #}
    `Exemplars.FilteredAttributes` Array(Map(LowCardinality(String), String)) COMMENT 'Attributes that are not the data point''s' CODEC(ZSTD(1)),
    `Exemplars.TimeUnix` Array(DateTime64(9)) COMMENT 'When each was measured' CODEC(ZSTD(1)),
    `Exemplars.Value` Array(Float64) COMMENT 'What was measured, in MetricUnit' CODEC(ZSTD(1)),
    `Exemplars.SpanId` Array(String) COMMENT 'Span in which each was measured' CODEC(ZSTD(1)),
    `Exemplars.TraceId` Array(String) COMMENT 'Trace in which each was measured' CODEC(ZSTD(1)),
