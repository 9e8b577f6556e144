CREATE VIEW webhook_deliveries AS
SELECT * FROM delivery_log FINAL
COMMENT 'Attempts to deliver webhooks, each once';
