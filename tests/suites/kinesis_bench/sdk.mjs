// PutRecords, then GetRecords, through the AWS SDK for JavaScript v3.
//   node sdk.mjs ENDPOINT STREAM RECORDS RECORD_BYTES SECONDS      prints one line of JSON
import http from "node:http";
import { GetRecordsCommand, GetShardIteratorCommand, KinesisClient, ListShardsCommand, PutRecordsCommand } from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";

const [endpoint, StreamName, records, bytes, seconds] = process.argv.slice(2);
const client = new KinesisClient({
  endpoint,
  maxAttempts: 1,
  requestHandler: new NodeHttpHandler({ httpAgent: new http.Agent({ keepAlive: true, maxSockets: 16 }) }),
});
const Data = Buffer.alloc(Number(bytes), "x");
const Records = Array.from({ length: Number(records) }, (_, i) => ({ Data, PartitionKey: `key-${i}` }));
const until = (end, call) => Promise.all(Array.from({ length: 16 }, async (_, worker) => {
  while (performance.now() < end) await call(worker);
}));

async function timed(call) {
  const times = [];
  let done = 0, failed = 0;
  const began = performance.now();
  await until(began + Number(seconds) * 1000, async (worker) => {
    const at = performance.now();
    const [good, bad] = await call(worker);
    times.push(performance.now() - at);
    done += good;
    failed += bad;
  });
  const elapsed = (performance.now() - began) / 1000;
  times.sort((a, b) => a - b);
  return { records_per_s: done / elapsed, failed, p50_ms: times[times.length >> 1], p99_ms: times[Math.floor(times.length * 0.99)] };
}

const put = await timed(async () => {
  const { FailedRecordCount } = await client.send(new PutRecordsCommand({ StreamName, Records }));
  return [Records.length - FailedRecordCount, FailedRecordCount];
});
const shards = (await client.send(new ListShardsCommand({ StreamName }))).Shards;
const start = async (worker) => (await client.send(new GetShardIteratorCommand({
  StreamName, ShardId: shards[worker % shards.length].ShardId, ShardIteratorType: "TRIM_HORIZON",
}))).ShardIterator;
const iterators = await Promise.all(Array.from({ length: 16 }, (_, worker) => start(worker)));
const get = await timed(async (worker) => {
  const answer = await client.send(new GetRecordsCommand({ ShardIterator: iterators[worker], Limit: 1000 }));
  iterators[worker] = answer.Records.length ? answer.NextShardIterator : await start(worker);
  return [answer.Records.length, 0];
});
console.log(JSON.stringify({ put, get }));
client.destroy();
