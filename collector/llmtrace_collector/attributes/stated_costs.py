"""Who states what a call cost, and where: the answer that bills it, a gateway, a framework with a price list.

Two kinds of word. A **biller** says what it charges: its figure holds as it stands, 0 too. Everyone else
**estimates**: computes from a price list, which may not have the model; there 0 says that no price was known.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from llmtrace import semconv

#: Those who charge for the call and say in its answer how much.
BILLERS = (semconv.STATED_BY_OPENROUTER, semconv.STATED_BY_PERPLEXITY, semconv.STATED_BY_XAI)

#: Attributes of other emitters, USD each, in order of preference → who states it.
STATED_IN: Mapping[str, str] = MappingProxyType(
    {
        "ai.response.providerMetadata>openrouter>usage>cost": semconv.STATED_BY_OPENROUTER,
        # OpenLIT, OpenLLMetry, OpenRouter's broadcast; the last is the conventions' proposal.
        "gen_ai.usage.cost": "gen_ai",
        "gen_ai.usage.total_cost": "gen_ai",
        "gen_ai.usage.cost_usd": "gen_ai",
        "gen_ai.usage.cost.amount": "gen_ai",
        "litellm.cost.total": semconv.STATED_BY_LITELLM,
        "gen_ai.cost.total_cost": semconv.STATED_BY_LITELLM,
        "hidden_params>response_cost": semconv.STATED_BY_LITELLM,
        "llm.cost.total": "openinference",
        "langfuse.observation.cost_details>total": "langfuse",
        "langfuse.observation.cost_details>total_cost": "langfuse",
        "langfuse.observation.cost_details.total": "langfuse",
        "mlflow.llm.cost>total_cost": "mlflow",
        # Pydantic AI writes it too, by the same list.
        "operation.cost": "logfire",
        "ai.response.providerMetadata>gateway>cost": semconv.STATED_BY_GATEWAY,
    }
)

#: Parts of a cost, where an emitter states these and no total.
PARTS_IN = ("llm.cost.prompt", "llm.cost.completion")
DETAILS_IN = "langfuse.observation.cost_details"

#: Attributes that hold an answer as it came, whose usage states a cost as it does on the wire.
ANSWERS_IN = ("output.value", "response_data", "mlflow.spanOutputs")

#: The currency of a stated cost; left out: USD.
CURRENCY_IN = (semconv.USAGE_STATED_CURRENCY, "gen_ai.usage.cost.currency")
