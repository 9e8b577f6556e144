"""The conformance table: which emitters run, and which kinds of call each is asked to make.

A row is an emitter in an environment, a column a kind of call. In each cell the emitter's own program makes
the call against a provider on loopback, sends its OTLP to a real collector, alone and with our SDK in the
same process, and what the store has of the call is held against the canonical record: what our SDK makes of
the same exchange (the same bytes both ways), sent without any emitter.

**To add an emitter**: one `Emitter` in a module of `tests/conformance/emitters/` (its `EMITTERS` is part of
`emitters.EMITTERS`), a `.in` in `tests/conformance/environments/` with the packages it needs and, of each
that the row names, one version (`scripts/lock --conformance` makes the `.lock`, `scripts/conformance` the
environment
`.venvs/<name>`; an environment of `tests/venvs/` can be named too), and a program, where none of the present
ones will do:

- a program is a file in `tests/conformance/programs/` that imports nothing of this repository but its
neighbours
  (`program`, `questions`, `tracers`) and calls `program.run({kind: function, …})`; `openai_calls.py` is the
  shortest. Each function takes the base URL of the cell (no `/v1` at its end), makes the call with what
  `questions` asks, reads it to its end, and may be a coroutine function;
- what switches the emitter on is an entry of `tracers.TRACERS`, or `run(…, switch_on=function)`: it takes the
  name in `Emitter.tracer` and the OTLP endpoint (no `/v1/traces`), and returns what flushes;
- a program in another language speaks the same protocol: `PROGRAM TRACER API_URL OTLP_URL alone|with_sdk
KIND…`,
  the base URL of a cell is `API_URL/KIND`, and it prints for each kind one line of JSON as it ends: `kind`,
  `start` and `end` (Unix nanoseconds around the call) and `error` (text, empty where there was none). A file
  `*.mjs` is run by Node.js, all others by the environment's Python.

The provider (`answers/`) knows OpenAI's chat completions, responses and embeddings, Anthropic's messages,
Gemini, Bedrock's Converse and Cohere; the kind in the path says what it answers. For `tools` and
`parallel_tools` it calls tools first and answers with text once it is asked again, for `retry` it refuses
once.

What an emitter does not do is a `cannot` of its entry, with the reason. What it does and tells wrongly stays
a failure; where that is the emitter's own (a figure that it never sends), `defects` says so, which the page
prints beside the failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CallKind:
    """A column of the table."""

    name: str
    description: str


KINDS = (
    CallKind("plain", "a question with a system prompt, answered in one piece"),
    CallKind("stream", "the same, streamed"),
    CallKind("tools", "a tool is called, its result sent back where the emitter does that"),
    CallKind("parallel_tools", "two tools are called in one answer"),
    CallKind("embeddings", "two texts are embedded in one request"),
    CallKind("vector_query", "a vector database is asked for the nearest of a few texts"),
    CallKind("images", "a picture in the question"),
    CallKind("reasoning", "an answer with reasoning, and tokens of it"),
    CallKind("cached", "most of the input was read from the provider's cache"),
    CallKind("error", "the provider refuses the request (400)"),
    CallKind("retry", "the provider is busy once (429), the client tries again"),
    CallKind("async", "the plain call, by the asynchronous client"),
    CallKind("thread", "two plain calls at once, by two threads"),
    CallKind("batch", "three plain calls at once, by the emitter's own means where it has any"),
)

#: Names of the columns.
KIND_NAMES = tuple(kind.name for kind in KINDS)


@dataclass(frozen=True)
class Emitter:
    """What makes one row in each of its environments."""

    name: str
    """`OpenLLMetry openai`."""
    environments: tuple[str, ...]
    """Names of `.venvs/*`, the newest first. Empty: the interpreter that runs the table."""
    program: str
    """A file of `programs/`."""
    tracer: str
    """What the program is asked to switch on."""
    packages: tuple[str, ...] = ()
    """Whose versions are the row's: distributions, or packages of npm."""
    cannot: Mapping[str, str] = field(default_factory=dict)
    """Kind → why the emitter does not make such a call."""
    defects: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(Kind or `*`, field) → what the emitter itself does wrong or leaves out."""
    older_defects: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """The same of its older versions alone: those in all environments but the first."""
    answers: bool = False
    """Whether it stands between client and provider: what it does wrong our SDK sees as the answer."""
    no_sdk: str = ""
    """Why our SDK cannot run in the same process, if it cannot."""
    not_installed: Mapping[str, str] = field(default_factory=dict)
    """Environment → why it cannot be made."""

    def kinds(self) -> tuple[str, ...]:
        """The kinds of call that it makes, in the table's order."""
        return tuple(kind for kind in KIND_NAMES if kind not in self.cannot)

    def reason(self, environment: str, kind: str, differing: str) -> str:
        """Why a field differs by the emitter's own doing; empty where it is not known to."""
        is_newest = environment in self.environments[:1]
        older = {} if is_newest else self.older_defects
        return next(
            (
                defects[place]
                for defects in (self.defects, older)
                for place in ((kind, differing), ("*", differing))
                if place in defects
            ),
            "",
        )
