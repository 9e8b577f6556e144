// Vercel's AI SDK on OpenAI's chat completions, with the spans that it makes itself.
//
//     node vercel_calls.mjs TRACER API_URL OTLP_URL alone|with_sdk KIND…
//
// `vercel`: as it is switched on in its version (from 7 on by @ai-sdk/otel, before by a setting of each call);
// `vercel-legacy`: version 7 with the attributes of those before. Prints what program.py says.
import { createOpenAI } from "@ai-sdk/openai";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import * as ai from "ai";
import { z } from "zod";

const SYSTEM = "You answer questions on bridges.";
const QUESTION = "Which river does the old stone bridge cross?";
const TOOL_QUESTION = "How long are the bridges of Mostar and of Visegrad?";
const TEXTS = ["The old stone bridge.", "A river in autumn."];
const LENGTHS = { Mostar: 29, Visegrad: 179 };
const PICTURE =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const [tracer, api, otlp, , ...kinds] = process.argv.slice(2);
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "shop", "service.instance.id": String(process.pid) }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: `${otlp}/v1/traces` }))],
});
provider.register();

let telemetry = { experimental_telemetry: { isEnabled: true, functionId: "guide" } };
if (ai.registerTelemetry) {
  const otel = await import("@ai-sdk/otel");
  ai.registerTelemetry(tracer === "vercel-legacy" ? new otel.LegacyOpenTelemetry() : new otel.OpenTelemetry());
  telemetry = {};
}

const openai = (url) => createOpenAI({ baseURL: `${url}/v1`, apiKey: "k" });
const chat = (url, model = "gpt-4o-mini") => openai(url).chat(model);
const asked = (url, more = {}) => ({
  model: chat(url),
  system: SYSTEM,
  prompt: QUESTION,
  maxRetries: 0,
  ...telemetry,
  ...more,
});

const plain = (url) => ai.generateText(asked(url));
const streamed = async (url) => {
  for await (const part of ai.streamText(asked(url)).fullStream) {
    if (part.type === "error") throw part.error;
  }
};
const tools = (url) =>
  ai.generateText({
    model: chat(url),
    prompt: TOOL_QUESTION,
    maxRetries: 0,
    stopWhen: (ai.isStepCount ?? ai.stepCountIs)(3),
    tools: {
      bridge_length: ai.tool({
        description: "Length of a bridge in metres",
        inputSchema: z.object({ town: z.string().describe("where the bridge stands") }),
        execute: async ({ town }) => LENGTHS[town] ?? 0,
      }),
    },
    ...telemetry,
  });
const embeddings = (url) =>
  ai.embedMany({
    model: (openai(url).embedding ?? openai(url).textEmbeddingModel)("text-embedding-3-small"),
    values: TEXTS,
    maxRetries: 0,
    ...telemetry,
  });
const images = (url) =>
  ai.generateText({
    model: chat(url),
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: QUESTION },
          { type: "image", image: PICTURE, mediaType: "image/png" },
        ],
      },
    ],
    maxRetries: 0,
    ...telemetry,
  });
const reasoning = (url) =>
  ai.generateText(asked(url, { model: chat(url, "o4-mini"), providerOptions: { openai: { reasoningEffort: "low" } } }));

const CALLS = {
  plain,
  stream: streamed,
  tools,
  parallel_tools: tools,
  embeddings,
  images,
  reasoning,
  cached: plain,
  error: plain,
  retry: (url) => ai.generateText(asked(url, { maxRetries: 2 })),
  batch: (url) => Promise.all([plain(url), plain(url), plain(url)]),
};

const now = () => String(BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n);
for (const kind of kinds) {
  const start = now();
  let error = "";
  try {
    await CALLS[kind](`${api}/${kind}`);
  } catch (failure) {
    error = `${failure.name}: ${failure.message}`.slice(0, 500);
    if (kind !== "error") console.error(failure);
  }
  console.log(`{"kind":${JSON.stringify(kind)},"start":${start},"end":${now()},"error":${JSON.stringify(error)}}`);
  await new Promise((resolve) => setTimeout(resolve, 20));
}
await provider.shutdown();
