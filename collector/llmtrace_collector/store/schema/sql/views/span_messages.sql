CREATE VIEW span_messages AS
{{ decoding.log_messages }}
COMMENT 'What log records say that a span''s messages were: joined when read, so that either may come first';
