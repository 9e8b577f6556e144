llmtrace_stated_cost('0.00125', '', '')
-- 0.00125

llmtrace_stated_cost('5e-7', '', '')
-- 5e-7

llmtrace_stated_cost('0', '', '')
-- 0

llmtrace_stated_cost('0.0', '', '')
-- 0

llmtrace_stated_cost('12', '', '')
-- 12

llmtrace_stated_cost('9999.99', '', '')
-- 9999.99

llmtrace_stated_cost('5.', '', '')
-- 5

llmtrace_stated_cost('', '', '')
-- null

llmtrace_stated_cost('-0.1', '', '')
-- null

llmtrace_stated_cost('-0.0', '', '')
-- null

llmtrace_stated_cost('nan', '', '')
-- null

llmtrace_stated_cost('NaN', '', '')
-- null

llmtrace_stated_cost('inf', '', '')
-- null

llmtrace_stated_cost('10000', '', '')
-- null

llmtrace_stated_cost('1e300', '', '')
-- null

llmtrace_stated_cost('1e5', '', '')
-- null

llmtrace_stated_cost('much', '', '')
-- null

llmtrace_stated_cost('{}', '', '')
-- null

llmtrace_stated_cost('0x10', '', '')
-- null

llmtrace_stated_cost('1.2.3', '', '')
-- null

llmtrace_stated_cost('1,5', '', '')
-- null

llmtrace_stated_cost('1e-999', '', '')
-- 0

llmtrace_stated_cost('0.5', 'USD', '')
-- 0.5

llmtrace_stated_cost('0.5', 'usd', '')
-- 0.5

llmtrace_stated_cost('0.5', '', 'USD')
-- 0.5

llmtrace_stated_cost('0.5', 'EUR', '')
-- null

llmtrace_stated_cost('0.5', '', 'CNY')
-- null

llmtrace_stated_cost('0.5', 'USD', 'EUR')
-- null

llmtrace_stating(CAST(0.5 AS Nullable(Float64)), 'litellm')
-- "litellm"

llmtrace_stating(CAST(0.5 AS Nullable(Float64)), 'openrouter')
-- "openrouter"

llmtrace_stating(CAST(0 AS Nullable(Float64)), 'litellm')
-- ""

llmtrace_stating(CAST(0 AS Nullable(Float64)), 'openinference')
-- ""

llmtrace_stating(CAST(0 AS Nullable(Float64)), 'openrouter')
-- "openrouter"

llmtrace_stating(CAST(0 AS Nullable(Float64)), 'x_ai')
-- "x_ai"

llmtrace_stating(CAST(0 AS Nullable(Float64)), 'perplexity')
-- "perplexity"

llmtrace_stating(CAST(NULL AS Nullable(Float64)), 'openrouter')
-- ""

llmtrace_stating(CAST(NULL AS Nullable(Float64)), '')
-- ""

llmtrace_stating(CAST(0.5 AS Nullable(Float64)), '')
-- ""

llmtrace_cost_of_parts(CAST([] AS Array(Float64)))
-- ""

llmtrace_cost_of_parts([0.25, 0.5])
-- "0.75"

llmtrace_cost_of_parts([0.25, -0.5])
-- "-"

llmtrace_cost_of_answer('{"usage":{"cost":0.5,"is_byok":false}}')
-- "0.5"

llmtrace_biller_of_answer('{"usage":{"cost":0.5,"is_byok":false}}')
-- "openrouter"

llmtrace_cost_of_answer('{"usage":{"cost":0.5,"cost_details":{"upstream_inference_cost":0.5}}}')
-- "0.5"

llmtrace_biller_of_answer('{"usage":{"cost":0.5,"cost_details":{"upstream_inference_cost":0.5}}}')
-- "openrouter"

llmtrace_cost_of_answer('{"usage":{"cost":0.5,"is_byok":true,"cost_details":{"upstream_inference_cost":0.25}}}')
-- "0.75"

llmtrace_biller_of_answer('{"usage":{"cost":0.5,"is_byok":true,"cost_details":{"upstream_inference_cost":0.25}}}')
-- "openrouter"

llmtrace_cost_of_answer('{"usage":{"cost_in_usd_ticks":37756000}}')
-- "0.0037756"

llmtrace_biller_of_answer('{"usage":{"cost_in_usd_ticks":37756000}}')
-- "x_ai"

llmtrace_cost_of_answer('{"usage":{"cost":{"request_cost":1,"total_cost":1.5}}}')
-- "1.5"

llmtrace_biller_of_answer('{"usage":{"cost":{"request_cost":1,"total_cost":1.5}}}')
-- "perplexity"

llmtrace_cost_of_answer('{"usage":{"cost":0.5}}')
-- "0.5"

llmtrace_biller_of_answer('{"usage":{"cost":0.5}}')
-- "gateway"

llmtrace_cost_of_answer('{"usage":{"cost":"0.5"}}')
-- "0.5"

llmtrace_biller_of_answer('{"usage":{"cost":"0.5"}}')
-- "gateway"

llmtrace_cost_of_answer('{"usage":{"cost":null}}')
-- ""

llmtrace_biller_of_answer('{"usage":{"cost":null}}')
-- "gateway"

llmtrace_cost_of_answer('{"usage":{"prompt_tokens":5}}')
-- ""

llmtrace_biller_of_answer('{"usage":{"prompt_tokens":5}}')
-- "gateway"

llmtrace_cost_of_answer('{"text":"its \\"cost\\": 9"}')
-- ""

llmtrace_biller_of_answer('{"text":"its \\"cost\\": 9"}')
-- "gateway"

llmtrace_cost_of_answer('')
-- ""

llmtrace_biller_of_answer('')
-- "gateway"
