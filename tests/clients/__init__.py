"""Clients of ClickHouse's against a real collector: @clickhouse/client for Node.js, clickhouse-connect."""
