"""Several users at once, and for each a framework that works on threads of its own; prints what is wrong.

python in_parallel.py API_URL langgraph | llamaindex
"""

from __future__ import annotations

import asyncio
import json
import operator
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import llmtrace
from llmtrace.testing import capture

URL, FRAMEWORK = sys.argv[1:]
USERS = [f"user-{number}" for number in range(4)]
BRANCHES = 3
Ask = Callable[[str], None]


def langgraph() -> Ask:
    """Nodes in parallel, sync ones, which it runs on threads."""
    from langchain_openai import ChatOpenAI
    from langgraph.graph import END, START, StateGraph

    class State(TypedDict, total=False):
        question: str
        answers: Annotated[list[Any], operator.add]

    model: Any = ChatOpenAI(model="gpt-3.5-turbo", base_url=URL + "/v1", api_key="k", max_retries=0)
    building: Any = StateGraph(State)
    for number in range(BRANCHES):
        name = f"branch {number}"
        building.add_node(name, lambda state: {"answers": [model.invoke(state["question"]).content]})
        building.add_edge(START, name)
        building.add_edge(name, END)
    graph = building.compile()
    return lambda user: graph.invoke({"question": user})


def llamaindex() -> Ask:
    """A workflow whose sync step runs on threads, several at a time."""
    from llama_index.core.llms import ChatMessage
    from llama_index.core.workflow import Context, Event, StartEvent, StopEvent, Workflow, step
    from llama_index.llms.openai import OpenAI

    model: Any = OpenAI(model="gpt-3.5-turbo", api_base=URL + "/v1", api_key="k", max_retries=0)

    class Question(Event):
        text: str

    class Done(Event):
        pass

    class Branches(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Question | None:
            for _ in range(BRANCHES):
                ctx.send_event(Question(text=ev.user))
            return None

        @step(num_workers=BRANCHES)
        def work(self, ev: Question) -> Done:
            model.chat([ChatMessage(role="user", content=ev.text)])
            return Done()

        @step
        async def join(self, ctx: Context, ev: Done) -> StopEvent | None:
            return StopEvent() if ctx.collect_events(ev, [Done] * BRANCHES) else None

    # Its annotations are names of this function, which it looks up in the module.
    globals().update(
        Context=Context, Question=Question, Done=Done, StartEvent=StartEvent, StopEvent=StopEvent
    )

    async def run(user: str) -> None:
        await Branches(timeout=60).run(user=user)

    return lambda user: asyncio.run(run(user))


with capture() as traces:
    ask = {"langgraph": langgraph, "llamaindex": llamaindex}[FRAMEWORK]()
    requests: dict[str, str | None] = {}

    def serve(user: str) -> None:
        with llmtrace.context(user_id=user, session_id=f"of {user}"), llmtrace.span(user) as span:
            requests[user] = span.trace_id
            ask(user)

    threads = [threading.Thread(target=serve, args=(user,)) for user in USERS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results: Counter[str] = Counter()
    for call in (span for span in traces.spans() if span.name.startswith("chat ")):
        attributes = dict(call.attributes or {})
        (user,) = (user for user in USERS if user in str(attributes["gen_ai.input.messages"]))
        is_right = attributes.get("user.id") == user and attributes.get("session.id") == f"of {user}"
        in_trace = f"{call.context.trace_id:032x}" == requests[user]
        results["right" if is_right and in_trace else "wrong"] += 1
    print(json.dumps(results))
