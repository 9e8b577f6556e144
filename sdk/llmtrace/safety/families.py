"""Families of attack, and what OWASP's list for LLM applications (2025) and MITRE ATLAS call them."""

from __future__ import annotations

from typing import NamedTuple


class Family(NamedTuple):
    """Where a family of attack stands in the public lists."""

    owasp: str
    atlas: str


FAMILIES = {
    "direct_injection": Family("LLM01:2025", "AML.T0051.000"),
    "indirect_injection": Family("LLM01:2025", "AML.T0051.001"),
    "jailbreak": Family("LLM01:2025", "AML.T0054"),
    "persuasion": Family("LLM01:2025", "AML.T0051.000"),
    "forged_turns": Family("LLM01:2025", "AML.T0051.000"),
    "encoded_payload": Family("LLM01:2025", "AML.T0068"),
    "system_prompt_fishing": Family("LLM07:2025", "AML.T0056"),
    "training_data_fishing": Family("LLM02:2025", "AML.T0057"),
    "tool_misuse": Family("LLM06:2025", "AML.T0053"),
    "resource_exhaustion": Family("LLM10:2025", "AML.T0029"),
}

#: Name of a pattern → its family.
OF_PATTERN = {
    "override_instructions": "direct_injection",
    "override_instructions_translated": "direct_injection",
    "new_instructions": "direct_injection",
    "reveal_system_prompt": "system_prompt_fishing",
    "jailbreak_persona": "jailbreak",
    "refusal_suppression": "jailbreak",
    "forged_roles": "forged_turns",
    "hidden_orders_to_assistants": "indirect_injection",
    "exfiltration": "indirect_injection",
    "encoded_orders": "encoded_payload",
}
