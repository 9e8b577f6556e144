-- What log records say that a span's messages were: joined when read, so that either may come first.
CREATE OR REPLACE VIEW span_messages AS
{span_messages};
