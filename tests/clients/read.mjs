// What @clickhouse/client gets from the collector at ADDRESS with KEY, as one JSON object:
//     node read.mjs http://127.0.0.1:4318 KEY
import { createClient } from "@clickhouse/client";

const [address, key] = process.argv.slice(2);
const options = { url: address, pathname: "/clickhouse", username: "anybody", password: key, database: "llmtrace" };
const client = createClient(options);
const got = {};

async function failure(work) {
  try {
    await work();
    return null;
  } catch (error) {
    return { code: error.code ?? "", message: error.message };
  }
}

got.ping = (await client.ping()).success;
got.ping_by_select = (await client.ping({ select: true })).success;

const whole = await client.query({
  query: "SELECT UserId AS user, count() AS calls FROM otel_traces WHERE UserId = {user:String} GROUP BY ALL",
  query_params: { user: "u1" },
});
got.json = await whole.json();
got.query_id = whole.query_id;

const rows = await client.query({
  query: "SELECT number, {label:String} AS label FROM numbers({n:UInt32})",
  query_params: { label: "it's", n: 3 },
  format: "JSONEachRow",
});
got.rows = await rows.json();

const stream = await client.query({ query: "SELECT number FROM numbers(10000)", format: "JSONCompactEachRow" });
got.streamed = 0;
for await (const part of stream.stream()) {
  got.streamed += part.length;
}

const totals = await client.query({ query: "SELECT UserId, count() AS c FROM otel_traces GROUP BY UserId WITH TOTALS" });
got.totals = (await totals.json()).totals;

const limited = await client.query({
  query: "SELECT 1 AS one",
  format: "JSONEachRow",
  clickhouse_settings: { max_execution_time: 5, max_result_rows: "10", wait_end_of_query: 1, log_comment: "mine" },
  session_id: "a-session",
});
got.limited = await limited.json();

const zipped = createClient({ ...options, compression: { response: true } });
got.zipped = await (await zipped.query({ query: "SELECT 2 AS two", format: "JSONEachRow" })).json();
await zipped.close();

const long = Array.from({ length: 3000 }, (_, index) => `user ${index}`);
const counted = await client.query({
  query: "SELECT length({users:Array(String)}) AS n",
  query_params: { users: long },
  format: "JSONEachRow",
});
got.long = await counted.json();

got.tables = (await (await client.query({ query: "SHOW TABLES", format: "JSONEachRow" })).json()).map((row) => row.name);
got.insert = await failure(() =>
  client.insert({ table: "otel_traces", values: [{ SpanName: "x" }], format: "JSONEachRow" }),
);
got.command = await failure(() => client.command({ query: "DROP TABLE otel_traces" }));
got.setting = await failure(() =>
  client.query({ query: "SELECT 1", clickhouse_settings: { output_format_json_quote_64bit_integers: 1 } }),
);
got.hidden = await failure(() => client.query({ query: "SELECT * FROM api_keys" }));
await client.close();

const stranger = createClient({ ...options, password: "wrong" });
got.stranger = await failure(() => stranger.query({ query: "SELECT 1" }));
await stranger.close();

console.log(JSON.stringify(got));
