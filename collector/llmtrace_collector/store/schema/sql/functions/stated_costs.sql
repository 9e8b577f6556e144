-- What others say that a call cost. attributes/stated_costs.py says where each emitter states it, and who bills.

-- USD of a stated cost. What is negative, no number, 10,000 and more or in another currency can be no cost of a call in
-- USD: NULL. The pattern says all of that with `text` standing in it once.
CREATE OR REPLACE FUNCTION llmtrace_stated_cost AS (text, currency, currency_of_conventions) ->
    multiIf(
        upper(currency) NOT IN ('', 'USD'), NULL,
        upper(currency_of_conventions) NOT IN ('', 'USD'), NULL,
        toFloat64OrNull(extract(text, '^[0-9]{1,4}(?:[.][0-9]{0,40})?(?:[eE]-[0-9]{1,3})?$'))
    );

-- Who states the cost that holds before a computed one; '' where none does. A 0 holds where the biller states it: others
-- state it of models that they know no price of.
CREATE OR REPLACE FUNCTION llmtrace_stating AS (stated_cost, stated_by) ->
    multiIf(
        stated_cost IS NULL, '',
        stated_cost > 0, stated_by,
        stated_by IN ({{ billers | literals }}), stated_by,
        ''
    );

-- A total of parts, as text: '' without parts, no number where one is negative.
CREATE OR REPLACE FUNCTION llmtrace_cost_of_parts AS (costs) ->
    multiIf(empty(costs), '', arrayMin(costs) < 0, '-', toString(arraySum(costs)));

-- The cost in an answer as it came on the wire, as text: '' where it states none.
CREATE OR REPLACE FUNCTION llmtrace_cost_of_answer AS (answer) ->
    if(
        position(answer, '"cost') = 0,
        '',
        arrayMap(
            cost_of_usage -> multiIf(
                JSONHas(cost_of_usage, 'cost_in_usd_ticks'),
                toString(JSONExtractFloat(cost_of_usage, 'cost_in_usd_ticks') / 1e10),
                JSONType(cost_of_usage, 'cost') = 'Object', JSONExtractRaw(cost_of_usage, 'cost', 'total_cost'),
                JSONExtractBool(cost_of_usage, 'is_byok'),
                toString(
                    JSONExtractFloat(cost_of_usage, 'cost')
                        + JSONExtractFloat(cost_of_usage, 'cost_details', 'upstream_inference_cost')
                ),
                llmtrace_unquoted(JSONExtractRaw(cost_of_usage, 'cost'))
            ),
            [JSONExtractRaw(answer, 'usage')]
        )[1]
    );

-- Who states the cost in such an answer.
CREATE OR REPLACE FUNCTION llmtrace_biller_of_answer AS (answer) ->
    arrayMap(
        biller_of_usage -> multiIf(
            JSONHas(biller_of_usage, 'cost_in_usd_ticks'), {{ biller_xai | literal }},
            JSONType(biller_of_usage, 'cost') = 'Object', {{ biller_perplexity | literal }},
            JSONHas(biller_of_usage, 'is_byok'), {{ biller_openrouter | literal }},
            JSONHas(biller_of_usage, 'cost_details'), {{ biller_openrouter | literal }},
            {{ stated_by_gateway | literal }}
        ),
        [JSONExtractRaw(answer, 'usage')]
    )[1];
