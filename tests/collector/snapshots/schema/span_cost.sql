CREATE VIEW span_cost AS
SELECT Project, Timestamp, TraceId, SpanId, Priced, Cost, Currency, PriceSource
FROM call_cost
COMMENT 'What each counted call cost in USD';
