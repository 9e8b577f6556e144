"""What clients may say of settings: in the address, in a SETTINGS clause, in a SET.

No setting of a client's reaches the engine. Those that could only lower what a read may cost, or that tell
the transport something, are dropped; the others are refused, for what they ask would silently not happen.
"""

from __future__ import annotations

from types import MappingProxyType

#: Limits: ours hold, whatever is asked for.
LIMITS = frozenset(
    "max_execution_time max_execution_time_leaf max_estimated_execution_time timeout_overflow_mode "
    "timeout_before_checking_execution_speed max_result_rows max_result_bytes result_overflow_mode "
    "max_rows_to_read max_bytes_to_read read_overflow_mode max_memory_usage max_memory_usage_for_user "
    "max_threads max_block_size max_query_size max_ast_depth max_ast_elements max_rows_to_group_by "
    "max_bytes_before_external_group_by max_bytes_before_external_sort max_columns_to_read "
    "max_insert_block_size max_insert_threads max_parallel_replicas priority".split()
)

#: What concerns the transport, the log or writes: a read here is the same with and without it.
WITHOUT_EFFECT = frozenset(
    "readonly query_id session_id session_timeout session_check quota_key client_protocol_version "
    "wait_end_of_query buffer_size send_progress_in_http_headers http_headers_progress_interval_ms "
    "http_wait_end_of_query http_response_buffer_size cancel_http_readonly_queries_on_client_close "
    "enable_http_compression http_zlib_compression_level network_compression_method "
    "network_zstd_compression_level add_http_cors_header connect_timeout receive_timeout send_timeout "
    "http_connection_timeout http_receive_timeout http_send_timeout idle_connection_timeout log_comment "
    "log_queries log_query_threads workload send_logs_level load_balancing prefer_localhost_replica "
    "skip_unavailable_shards select_sequential_consistency async_insert wait_for_async_insert "
    "insert_deduplicate insert_quorum insert_quorum_timeout allow_experimental_lightweight_delete "
    "implicit_transaction throw_on_unsupported_query_inside_transaction "
    "wait_changes_become_visible_after_commit_mode date_time_input_format input_format_null_as_default "
    "session_timezone use_query_cache allow_experimental_analyzer enable_analyzer".split()
)

#: Settings whose value is the one that holds here anyway, for which alone they are taken.
AS_THEY_ARE = MappingProxyType(
    {
        "output_format_json_quote_64bit_integers": ("0", "false"),
        "output_format_json_quote_64bit_floats": ("0", "false"),
        "output_format_json_quote_decimals": ("0", "false"),
        "output_format_json_quote_denormals": ("0", "false"),
        "output_format_native_encode_types_in_binary_format": ("0", "false"),
        "output_format_binary_write_json_as_string": ("0", "1", "false", "true"),
        "output_format_arrow_string_as_string": ("0", "1", "false", "true"),
        "output_format_native_write_json_as_string": ("0", "1", "false", "true"),
        "http_write_exception_in_output_format": ("0", "false"),
        "date_time_output_format": ("simple",),
        "join_use_nulls": ("0", "false"),
        "extremes": ("0", "false"),
        "limit": ("0",),
        "offset": ("0",),
        "cloud_mode": ("0", "false"),
    }
)

_INSTEAD = MappingProxyType(
    {
        "limit": "; put LIMIT into the query",
        "offset": "; put OFFSET into the query",
        "output_format_json_quote_64bit_integers": "; use toString(…) where a number may be beyond 2^53",
        "date_time_output_format": "; use formatDateTime(…) in the query",
        "role": "; what may be read is the key's",
    }
)


class ClientRefused(Exception):
    """What a client asks besides its query is not done here; the message says what, and what is."""


def judge(name: str, value: str) -> None:
    """Return when a client's setting can be dropped without harm. Raises ClientRefused otherwise."""
    if name in LIMITS or name in WITHOUT_EFFECT or value.lower() in AS_THEY_ARE.get(name, ()):
        return
    raise ClientRefused(f"setting {name[:60]!r} cannot be changed here{_INSTEAD.get(name, '')}")
