"""Is a text an attack? Asked of the checks of `llmtrace.safety`, in this process, before a model reads it."""

from __future__ import annotations

from dataclasses import dataclass

from llmtrace import internal_errors

#: What one installs for it.
_EXTRA = "pip install 'llmtrace[safety]'"


@dataclass(frozen=True, slots=True)
class TextCheck:
    """What is known of a text. `flagged` is False, and `known` too, where it could not be checked."""

    flagged: bool
    known: bool
    category: str = ""
    """Family of the attack, such as direct_injection; "" where it is not flagged."""
    confidence: float = 0.0
    """0 to 1: probability of an attack where attacks and other texts are as frequent."""
    evidence: str = ""
    """The sentence of the text that looks most like an attack, as it stands there."""
    patterns: tuple[str, ...] = ()
    """Names of the exact patterns that match."""
    owasp: str = ""
    """Id in OWASP's list for LLM applications, such as LLM01:2025."""
    atlas: str = ""
    """Id of MITRE ATLAS, such as AML.T0051.000."""
    reason: str = ""
    """Why it is not known, or which part of the check is missing and how to install it."""

    def __bool__(self) -> bool:
        return self.flagged


def check_text(text: object, *, threshold: float | None = None) -> TextCheck:
    """Whether a text (a prompt, a document, a tool's result) looks like an attack on a model.

    About a millisecond of CPU for 500 characters; nothing is sent. threshold: score from 0 to 1 from which
    on a text is flagged; that of the shipped weights unless given (`llmtrace detect text --calibrate` finds
    one's own). It needs `llmtrace[safety]`; where numpy is missing the exact patterns alone are used, where
    google-re2 is the classifier alone, and `reason` says so. It never raises: where nothing can be checked,
    `known` is False.
    """
    with internal_errors.swallow("checking a text"):
        return _checked(text if isinstance(text, str) else str(text), threshold)
    return TextCheck(flagged=False, known=False, reason="the check failed; see the log")


def _checked(text: str, threshold: float | None) -> TextCheck:
    from llmtrace.safety.check import check, missing
    from llmtrace.safety.families import FAMILIES

    absent = missing()
    reason = f"{' and '.join(absent)} not installed: {_EXTRA}" if absent else ""
    if len(absent) == 2:
        return TextCheck(flagged=False, known=False, reason=reason)
    result = check(text, threshold)
    family = FAMILIES[result.family] if result.flagged else None
    return TextCheck(
        flagged=result.flagged,
        known=True,
        category=result.family if result.flagged else "",
        confidence=result.score,
        evidence=result.sentence,
        patterns=result.patterns,
        owasp=family.owasp if family else "",
        atlas=family.atlas if family else "",
        reason=reason,
    )
