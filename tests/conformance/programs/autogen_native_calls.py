"""AutoGen's agents with the spans that it makes itself, of agents and tools, and OpenLLMetry's of the client:
its documentation sets them up together, for it makes none of calls of models.
"""

from __future__ import annotations

import autogen_calls
from program import run

if __name__ == "__main__":
    run(autogen_calls.CALLS)
