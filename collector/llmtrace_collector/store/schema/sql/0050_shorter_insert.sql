-- Stores made before this: parts of one segment are one file of all columns (see DURABLE in schema.py).

ALTER TABLE otel_traces MODIFY SETTING min_bytes_for_wide_part = 67108864, merge_selector_base = 8;

ALTER TABLE otel_logs MODIFY SETTING min_bytes_for_wide_part = 67108864, merge_selector_base = 8;
