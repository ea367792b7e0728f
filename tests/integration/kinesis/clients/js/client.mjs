// One tour with the AWS SDK for JavaScript v3, whose Kinesis client speaks HTTP/2, and once more
// over HTTP/1.1.   usage: node client.mjs ENDPOINT
import assert from "node:assert/strict";
import {
  AddTagsToStreamCommand, CreateStreamCommand, DeleteStreamCommand, GetRecordsCommand,
  GetShardIteratorCommand, KinesisClient, ListShardsCommand, ListStreamsCommand,
  ListTagsForStreamCommand, MergeShardsCommand, PutRecordCommand, PutRecordsCommand,
  RemoveTagsFromStreamCommand, SplitShardCommand, waitUntilStreamExists, waitUntilStreamNotExists,
} from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";

const endpoint = process.argv[2];
const text = (records) => records.map((record) => Buffer.from(record.Data).toString());
const bytes = (value) => new TextEncoder().encode(value);

async function tour(client, StreamName) {
  const send = (Command, input) => client.send(new Command(input));
  const exists = () => waitUntilStreamExists({ client, maxWaitTime: 30, minDelay: 1 }, { StreamName });
  await send(CreateStreamCommand, { StreamName, ShardCount: 2 });
  await exists();
  const shards = (await send(ListShardsCommand, { StreamName })).Shards.map((shard) => shard.ShardId);
  assert.equal(shards.length, 2);

  const one = await send(PutRecordCommand, {
    StreamName, Data: bytes("one"), PartitionKey: "clé 🚀", ExplicitHashKey: "0",
  });
  assert.equal(one.ShardId, shards[0]);
  const batch = await send(PutRecordsCommand, {
    StreamName,
    Records: ["two", "three"].map((word) => ({ Data: bytes(word), PartitionKey: "k", ExplicitHashKey: "7" })),
  });
  assert.equal(batch.FailedRecordCount, 0);
  // Many calls at once: streams of one HTTP/2 connection.
  await Promise.all(Array.from({ length: 50 }, (_, i) => send(PutRecordCommand, {
    StreamName, Data: bytes(`${i}`), PartitionKey: "k", ExplicitHashKey: `${2n ** 128n - 1n}`,
  })));

  async function read(ShardId, ShardIteratorType, more = {}) {
    let { ShardIterator } = await send(GetShardIteratorCommand, { StreamName, ShardId, ShardIteratorType, ...more });
    const records = [];
    for (;;) {
      const answer = await send(GetRecordsCommand, { ShardIterator });
      records.push(...answer.Records);
      ShardIterator = answer.NextShardIterator;
      if (!ShardIterator || (!answer.Records.length && !answer.MillisBehindLatest)) return records;
    }
  }
  const all = await read(shards[0], "TRIM_HORIZON");
  assert.deepEqual(text(all), ["one", "two", "three"]);
  assert.equal(all[0].PartitionKey, "clé 🚀");
  assert.ok(Math.abs(all[0].ApproximateArrivalTimestamp - Date.now()) < 120_000);
  assert.equal((await read(shards[1], "TRIM_HORIZON")).length, 50);
  const at = { StartingSequenceNumber: one.SequenceNumber };
  assert.deepEqual(text(await read(shards[0], "AT_SEQUENCE_NUMBER", at)), ["one", "two", "three"]);
  assert.deepEqual(text(await read(shards[0], "AFTER_SEQUENCE_NUMBER", at)), ["two", "three"]);
  const Timestamp = all[0].ApproximateArrivalTimestamp;
  assert.deepEqual(text(await read(shards[0], "AT_TIMESTAMP", { Timestamp })), ["one", "two", "three"]);
  assert.deepEqual(await read(shards[0], "LATEST"), []);

  await send(SplitShardCommand, { StreamName, ShardToSplit: shards[0], NewStartingHashKey: "1000" });
  await exists();
  const children = (await send(ListShardsCommand, { StreamName })).Shards
    .filter((shard) => shard.ParentShardId === shards[0]).map((shard) => shard.ShardId);
  await send(MergeShardsCommand, { StreamName, ShardToMerge: children[0], AdjacentShardToMerge: children[1] });
  await exists();
  assert.equal((await send(ListShardsCommand, { StreamName })).Shards.length, 5);

  await send(AddTagsToStreamCommand, { StreamName, Tags: { a: "1", b: "2" } });
  await send(RemoveTagsFromStreamCommand, { StreamName, TagKeys: ["a"] });
  assert.deepEqual((await send(ListTagsForStreamCommand, { StreamName })).Tags, [{ Key: "b", Value: "2" }]);
  assert.ok((await send(ListStreamsCommand, {})).StreamNames.includes(StreamName));

  await assert.rejects(send(PutRecordCommand, { StreamName: "missing", Data: bytes("x"), PartitionKey: "k" }),
    { name: "ResourceNotFoundException", message: "Stream missing under account 123456789012 not found." });
  await assert.rejects(send(PutRecordCommand, { StreamName, Data: bytes("x"), PartitionKey: "" }),
    { name: "ValidationException" });
  await send(DeleteStreamCommand, { StreamName });
  await waitUntilStreamNotExists({ client, maxWaitTime: 30, minDelay: 1 }, { StreamName });
}

// A shard gives five reads a second: the client waits and tries again, as at AWS.
const maxAttempts = 10;
const http2 = new KinesisClient({ endpoint, maxAttempts });
await tour(http2, "tour-js-http2");
http2.destroy();
const http1 = new KinesisClient({ endpoint, maxAttempts, requestHandler: new NodeHttpHandler() });
await tour(http1, "tour-js-http1");
http1.destroy();
