"""Run as a program: reads a grammar from stdin, and says on stdout what is wrong with it, "" for nothing.

A grammar of a few hundred bytes can take hours and gigabytes to compile, in a library that cannot be
interrupted: so it is tried here, in a process that the system ends. Needs llguidance and nothing else.
"""

import resource
import signal
import sys

from llguidance import LLMatcher, LLTokenizer
from llguidance._lib import LLParserLimits


def problem_of(grammar: str) -> str:
    """What llguidance says against a grammar, tried up to the first place where there is a choice."""
    # A token for each byte: what takes long does so with any vocabulary.
    matcher = LLMatcher(
        LLTokenizer("byte"), grammar, log_level=0, limits=LLParserLimits(verbose_errors=False)
    )
    for _ in range(2):
        if not matcher.is_error():
            matcher.compute_bitmask()
        if not matcher.is_error():
            matcher.consume_tokens(matcher.compute_ff_tokens())
    return matcher.get_error()


def main(cpu_seconds: float, memory_bytes: int) -> None:
    """Check what stands on stdin; the system ends this process beyond these bounds."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    problem = problem_of(sys.stdin.buffer.read().decode())
    sys.stdout.buffer.write(problem.encode("utf-8", "replace"))


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
