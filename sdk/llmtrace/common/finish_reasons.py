"""Why a model stopped: what is written (in lower case, `_` for `-`) → the conventions' word."""

from __future__ import annotations

from typing import Final

FINISH_REASONS: Final[dict[str, str]] = {
    reason: word
    for word, reasons in {
        "stop": (
            "stop end_turn stop_sequence complete completed eos eos_token finish finished stop_criteria_met"
        ),
        "length": (
            "length max_tokens max_output_tokens model_length max_completion_tokens max_prompt_tokens"
            " model_context_window_exceeded incomplete"
        ),
        "tool_call": "tool_call tool_calls tool_use function_call requires_action",
        "content_filter": (
            "content_filter content_filtered guardrail_intervened refusal safety recitation blocklist"
            " prohibited_content spii language image_safety image_prohibited_content"
            " image_recitation error_toxic model_armor jailbreak"
        ),
        "compaction": "compaction",
        "error": (
            "error failed cancelled expired timeout malformed_function_call unexpected_tool_call"
            " malformed_model_output malformed_tool_use too_many_tool_calls error_limit"
        ),
    }.items()
    for reason in reasons.split()
}
