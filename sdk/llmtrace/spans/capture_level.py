"""How much content is recorded: one word for a program, a block or a function."""

from __future__ import annotations

from typing import Final, Literal, get_args

from llmtrace import internal_errors

Capture = Literal["all", "messages", "none"]
"""`messages`: messages and tool definitions of calls of models, arguments and results of tools, queries of
retrievals with ids and scores of what they found, and whatever a function or block asks to record itself.
`all`: inputs and outputs of every observed function and agent as well, and the texts of retrieved documents.
`none`: nothing of these."""

CAPTURES: Final[tuple[Capture, ...]] = get_args(Capture)


def of_flag(captures_content: bool) -> Capture:
    """The level that the former truth value stands for."""
    return "messages" if captures_content else "none"


def chosen(word: object, where: str) -> Capture | None:
    """The level that `where` (a name for the warning) asks for; None, and True, leave it as it is set.

    A word that is none records nothing, with a warning: it was meant to say something about privacy.
    """
    if word is None or word is True:
        return None
    if word is False:
        return "none"
    for level in CAPTURES:
        if word == level:
            return level
    internal_errors.warn_once(
        f"capture of {where}",
        "%s has capture=%r, which is none of %s: no content is recorded there.",
        where,
        word,
        ", ".join(map(repr, CAPTURES)),
    )
    return "none"


def effective(own: Capture | None, around: Capture) -> Capture:
    """The level of a function that asks for `own`, in a block or program with the level `around`.

    A function may record more or less than is set, but nothing where none is to be recorded.
    """
    return around if own is None or around == "none" else own
