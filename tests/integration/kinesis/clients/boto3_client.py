"""One tour with boto3: JSON over HTTP/1.1. Ends with 0 when everything was as at AWS."""
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

STREAM = "tour-boto3"
# A shard gives five reads a second: the client waits and tries again, as at AWS.
kinesis = boto3.client("kinesis", endpoint_url=sys.argv[1],
                       config=Config(retries={"max_attempts": 10, "mode": "standard"}))


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return error.response["Error"]["Message"]
    raise AssertionError(f"{code} expected of {call.__name__}({arguments})")


def read(shard, kind="TRIM_HORIZON", **arguments):
    iterator = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard, ShardIteratorType=kind,
                                          **arguments)["ShardIterator"]
    records = []
    while iterator:
        answer = kinesis.get_records(ShardIterator=iterator, Limit=4)
        records += answer["Records"]
        iterator = answer.get("NextShardIterator")
        if not answer["Records"] and answer["MillisBehindLatest"] == 0:
            break
    return records


kinesis.create_stream(StreamName=STREAM, ShardCount=2)
kinesis.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1})
description = kinesis.describe_stream(StreamName=STREAM)["StreamDescription"]
shards = [shard["ShardId"] for shard in description["Shards"]]
assert shards == ["shardId-000000000000", "shardId-000000000001"], shards
arn = description["StreamARN"]
assert arn.endswith(f":123456789012:stream/{STREAM}"), arn
assert refused("ResourceInUseException", kinesis.create_stream, StreamName=STREAM, ShardCount=1)

# One by one, in a batch, and by an explicit hash key.
first = kinesis.put_record(StreamName=STREAM, Data=b"\x00\xff one", PartitionKey="k",
                           ExplicitHashKey="0")
assert first["ShardId"] == shards[0]
batch = kinesis.put_records(StreamARN=arn, Records=[
    {"Data": f"record {i}".encode(), "PartitionKey": "clé 🚀", "ExplicitHashKey": str(i % 2 << 127)}
    for i in range(10)])
assert batch["FailedRecordCount"] == 0
assert [record["ShardId"] for record in batch["Records"]] == shards * 5
numbers = [first["SequenceNumber"]] + [r["SequenceNumber"] for r in batch["Records"][::2]]
assert sorted(numbers, key=int) == numbers

# Every kind of iterator.
records = read(shards[0])
assert [r["Data"] for r in records] == [b"\x00\xff one"] + [f"record {i}".encode() for i in range(0, 10, 2)]
assert [r["SequenceNumber"] for r in records] == numbers
assert records[1]["PartitionKey"] == "clé 🚀"
at = read(shards[0], "AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[2])
assert [r["SequenceNumber"] for r in at] == numbers[2:]
after = read(shards[0], "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[2])
assert [r["SequenceNumber"] for r in after] == numbers[3:]
since = read(shards[0], "AT_TIMESTAMP", Timestamp=records[0]["ApproximateArrivalTimestamp"])
assert [r["SequenceNumber"] for r in since] == numbers
latest = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shards[0],
                                    ShardIteratorType="LATEST")["ShardIterator"]
kinesis.put_record(StreamName=STREAM, Data=b"last", PartitionKey="k", ExplicitHashKey="1")
seen = []
while not seen:
    answer = kinesis.get_records(ShardIterator=latest)
    seen, latest = answer["Records"], answer["NextShardIterator"]
assert [r["Data"] for r in seen] == [b"last"]

# Shards: one is split, two are merged; closed parents are read to their end.
kinesis.split_shard(StreamName=STREAM, ShardToSplit=shards[0], NewStartingHashKey=str(1 << 126))
kinesis.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1})
listed = kinesis.list_shards(StreamName=STREAM)["Shards"]
children = [s for s in listed if s.get("ParentShardId") == shards[0]]
assert len(children) == 2 and len(listed) == 4, listed
assert "EndingSequenceNumber" in listed[0]["SequenceNumberRange"]
assert len(read(shards[0])) == 7
kinesis.merge_shards(StreamName=STREAM, ShardToMerge=children[0]["ShardId"],
                     AdjacentShardToMerge=children[1]["ShardId"])
kinesis.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1})
merged = kinesis.list_shards(StreamName=STREAM, ShardFilter={"Type": "AT_LATEST"})["Shards"]
assert {s["HashKeyRange"]["StartingHashKey"] for s in merged} == {"0", str(1 << 127)}, merged

# Tags, pages of streams.
kinesis.add_tags_to_stream(StreamName=STREAM, Tags={"team": "a", "größe": "1"})
kinesis.remove_tags_from_stream(StreamName=STREAM, TagKeys=["team"])
assert kinesis.list_tags_for_stream(StreamName=STREAM)["Tags"] == [{"Key": "größe", "Value": "1"}]
assert any(STREAM in page["StreamNames"] for page in kinesis.get_paginator("list_streams").paginate())

# What is wrong is said in AWS's words.
message = refused("ResourceNotFoundException", kinesis.describe_stream, StreamName="missing")
assert message == "Stream missing under account 123456789012 not found.", message
message = refused("ValidationException", kinesis.get_shard_iterator, StreamName=STREAM,
                  ShardId=shards[0], ShardIteratorType="FIRST")
assert "Member must satisfy enum value set" in message, message
refused("InvalidArgumentException", kinesis.get_records, ShardIterator="bm90IG91cnM=")
refused("ResourceNotFoundException", kinesis.get_shard_iterator, StreamName=STREAM,
        ShardId="shardId-000000000099", ShardIteratorType="LATEST")
for keys, code in ((("AKIANOBODY", "secret"), "UnrecognizedClientException"),
                   (("AKIATEST", "wrong"), "InvalidSignatureException"),
                   (("AKIATEST", "test-secret", "token"), "UnrecognizedClientException")):
    other = boto3.client("kinesis", endpoint_url=sys.argv[1], config=Config(retries={"max_attempts": 1}),
                         **dict(zip(("aws_access_key_id", "aws_secret_access_key",
                                     "aws_session_token"), keys)))
    refused(code, other.list_streams)

kinesis.delete_stream(StreamName=STREAM)
kinesis.get_waiter("stream_not_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1})
