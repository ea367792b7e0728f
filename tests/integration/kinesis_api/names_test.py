"""How operations name what they are about, and in which states they take it."""
import table
from door import ACCOUNT
from world import (ARN, IN_USE, INVALID, NOT_FOUND, NOT_THERE, SHARD)

SAYS = NOT_THERE.format
OTHER_ACCOUNT = ARN.replace(ACCOUNT, "999999999999")


def members(operation):
    return {member for member, _, _ in table.SCHEMA.structs[operation + "Request"].members}


def about(operation, **more):
    """The least request, of nothing; what names the stream is `more`'s."""
    request = {k: v for k, v in table.request_of(operation).items()
               if k not in ("StreamName", "StreamARN", "ResourceARN", "ConsumerARN")}
    if operation in ("StartStreamEncryption", "StopStreamEncryption"):
        request["EncryptionType"] = "KMS"
    if operation == "GetShardIterator":
        request["ShardIteratorType"] = "LATEST"
    return {**request, **more}


def missing(operation, name):
    """What AWS says of a stream that is not there."""
    if operation == "GetShardIterator":
        return f"Shard {SHARD(0)} in stream {name} under account {ACCOUNT} does not exist"
    return SAYS(name)


def test_a_stream_that_is_not_there(world):
    cases = 0
    for operation in table.SCHEMA.operations:
        has = members(operation)
        if operation in ("CreateStream", "GetRecords", "SubscribeToShard"):
            continue  # nothing to find, an iterator, later
        for name in ("absent", "a.b_C-9"):
            more = {"ConsumerName": "c"} if "ConsumerName" in has else {}
            if "StreamName" in has:
                world.refused(NOT_FOUND, missing(operation, name), operation,
                              **about(operation, StreamName=name))
            for member in ("StreamARN", "ResourceARN"):
                if member not in has:
                    continue
                world.refused(NOT_FOUND, missing(operation, name), operation,
                              **about(operation, **{member: ARN + name, **more}))
                cases += 2
            if "ConsumerARN" in has:
                world.refused(NOT_FOUND, SAYS(name), operation, **about(
                    operation, ConsumerARN=f"{ARN}{name}/consumer/c:1"))
    return f"{cases} names"


def test_an_arn_of_somebody_else(world):
    world.make("mine")
    for operation in table.SCHEMA.operations:
        has = members(operation)
        more = {"ConsumerName": "c"} if "ConsumerName" in has else {}
        for member in {"StreamARN", "ResourceARN"} & has - {"GetRecords"}:
            if operation in ("GetRecords", "SubscribeToShard"):
                continue
            answer = world.door.call(operation, about(operation, **{member: OTHER_ACCOUNT + "mine",
                                                                    **more}))
            assert answer.type == NOT_FOUND, (operation, answer)


def test_a_name_and_an_arn_that_disagree(world):
    world.make("one")
    for operation in table.SCHEMA.operations:
        if not {"StreamName", "StreamARN"} <= members(operation) or operation == "CreateStream":
            continue
        world.refused(INVALID, "StreamName two and StreamARN .* do not name the same stream.",
                      operation, **about(operation, StreamName="two", StreamARN=ARN + "one"))
        # Where they agree it is as with one of them.
        agreed = world.door.call(operation, about(operation, StreamName="gone", StreamARN=ARN + "gone"))
        assert agreed.type == NOT_FOUND, (operation, agreed)
        # Another stream's id, of the same name, is another stream.
        other = world.door.call(operation, about(operation, StreamName="one",
                                                 StreamId=table.EXAMPLES["StreamId"]))
        assert other.type == NOT_FOUND, (operation, other)


# Those that AWS wants an ACTIVE stream for. Of the others broker/handlers/kinesis/README.md says
# why they take one in any state.
ACTIVE_ONLY = {
    "DecreaseStreamRetentionPeriod": {"RetentionPeriodHours": 24},
    "IncreaseStreamRetentionPeriod": {"RetentionPeriodHours": 48},
    "DisableEnhancedMonitoring": {"ShardLevelMetrics": ["ALL"]},
    "EnableEnhancedMonitoring": {"ShardLevelMetrics": ["ALL"]},
    "MergeShards": {"ShardToMerge": SHARD(0), "AdjacentShardToMerge": SHARD(1)},
    "SplitShard": {"ShardToSplit": SHARD(0), "NewStartingHashKey": "9"},
    "StartStreamEncryption": {"EncryptionType": "KMS", "KeyId": "k"},
    "StopStreamEncryption": {"EncryptionType": "KMS", "KeyId": "k"},
    "UpdateMaxRecordSize": {"MaxRecordSizeInKiB": 2048},
    "UpdateShardCount": {"TargetShardCount": 128, "ScalingType": "UNIFORM_SCALING"},
    "UpdateStreamMode": {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}},
}
ON_DEMAND_ONLY = {"UpdateStreamWarmThroughput": {"WarmThroughputMiBps": 8}}


def while_updating(world, name, calls, update):
    """What the calls are answered while the stream is UPDATING: it is still when they have been
    answered. One that was ACTIVE again too soon is brought there once more."""
    for attempt in range(8):
        update(attempt)
        answers = world.door.burst(calls + [("DescribeStreamSummary", {"StreamName": name})])
        status = answers.pop().body["StreamDescriptionSummary"]["StreamStatus"]
        if status == "UPDATING":
            return answers
        world.wait_active(name)
    raise AssertionError("the stream was never UPDATING for long enough")


def test_a_stream_in_another_state(world):
    world.make("busy", 128, limits="none")

    def rescale(attempt):
        world.must("UpdateShardCount", StreamName="busy", ScalingType="UNIFORM_SCALING",
                   TargetShardCount=(257, 128)[attempt % 2])

    calls = [(operation, {"StreamARN": ARN + "busy", **more})
             for operation, more in ACTIVE_ONLY.items()]
    taken = [("PutRecord", {"StreamName": "busy", "Data": b"d", "PartitionKey": "k", "DryRun": True}),
             ("ListShards", {"StreamName": "busy"}),
             ("AddTagsToStream", {"StreamName": "busy", "Tags": {"a": "b"}})]
    answers = while_updating(world, "busy", calls + taken, rescale)
    for (operation, request), answer in zip(calls, answers):
        world.is_refusal(answer, IN_USE, f"Stream busy under account {ACCOUNT} not ACTIVE, "
                         "instead in state UPDATING", operation, request)
    for (operation, request), answer in zip(taken, answers[len(calls):]):
        assert answer.type in ("", "DryRunOperationException"), (operation, answer)
    world.must("DeleteStream", StreamName="busy")


def test_an_on_demand_stream_in_another_state(world):
    world.must("CreateStream", StreamName="grows",
               StreamModeDetails={"StreamMode": "ON_DEMAND"})

    def warm(attempt):
        world.must("UpdateStreamWarmThroughput", StreamName="grows",
                   WarmThroughputMiBps=(100, 200)[attempt % 2])

    calls = [(operation, {"StreamARN": ARN + "grows", **more})
             for operation, more in ON_DEMAND_ONLY.items()]
    for (operation, request), answer in zip(calls, while_updating(world, "grows", calls, warm)):
        world.is_refusal(answer, IN_USE, f"Stream grows under account {ACCOUNT} not ACTIVE, "
                         "instead in state UPDATING", operation, request)
    world.must("DeleteStream", StreamName="grows")
