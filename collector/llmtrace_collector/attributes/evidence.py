"""The words by which `call_evidence` says why spans are one call, each with its sentence."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

RESPONSE_ID, SCOPE, TIME, INSTANCE = "response_id", "scope", "time", "instance"
MODEL, OPERATION, TOKENS, ANSWER = "model", "operation", "tokens", "answer"
QUESTION, FAILURE, PARENT, ENCLOSES = "question", "failure", "parent", "encloses"

#: What says that a request is another attempt at the one before.
LINK, REQUEST = "link", "request"

#: What is wrong with trying again after an attempt; of several the first names the waste.
CANNOT_HELP, NO_BACKOFF, EXCESS = "cannot_help", "no_backoff", "excess"
RETRY_FAULTS: tuple[str, ...] = (CANNOT_HELP, NO_BACKOFF, EXCESS)

#: What speaks for one call, by word.
EVIDENCE: Mapping[str, str] = MappingProxyType(
    {
        RESPONSE_ID: "the provider's id of the answer is the same, and the times overlap",
        TIME: "one lies within the other, but for what callbacks take",
        INSTANCE: "they are of one trace or of one process",
        MODEL: "the model asked for or answering is of the same family",
        TOKENS: "input and output tokens are the same figures",
        ANSWER: "the text of the answer is the same",
        QUESTION: "the text of the last message is the same",
        FAILURE: "both failed",
        PARENT: "one encloses the other in the tree of spans",
        ENCLOSES: "it encloses calls that count",
        LINK: "the later request names it as the one that it repeats",
        REQUEST: "it failed, and the next request under the same parent was equal to it",
        CANNOT_HELP: "the error is one that the same request gets again",
        NO_BACKOFF: "the attempts after it did not wait longer than the first one did",
        EXCESS: "more than three attempts came before",
    }
)

#: What a span is that does not count, or may be counted twice, by the reason in `Uncounted` or the decision.
DECISIONS: Mapping[str, str] = MappingProxyType(
    {
        "": "counts",
        "duplicate": "another span is the record of its call",
        "repeats": "it repeats the usage of the calls inside",
        "retry": "an attempt that failed and was made again: the last one is the call",
        "ambiguous": "counts; it may be the call of others, and no pairing is the only one",
        "sender": "its sender says that it is counted elsewhere",
        "server": "a server's span: its client's is counted",
        "no_request": "a step of a framework that sends nothing",
    }
)
