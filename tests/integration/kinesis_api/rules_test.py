"""Every rule of the operations on streams, shards, settings, tags, consumers and policies that AWS
documents, broken; and every limit, reached and passed."""
import re

from door import ACCOUNT
from world import (ARN, IN_USE, INVALID, KEY_SPACE, LIMIT, NOT_FOUND, NOT_THERE, SHARD, VALIDATION)

SAYS = NOT_THERE.format
DAY = "{} may be called {} times per rolling 24-hour period for a stream."
ON_DEMAND = {"StreamMode": "ON_DEMAND"}


words = re.escape


# ---- CreateStream, DeleteStream ----

def test_streams_are_made_by_the_rules(world):
    refused = world.refused
    world.make("exists")
    refused(IN_USE, f"Stream exists under account {ACCOUNT} already exists.", "CreateStream",
            StreamName="exists", ShardCount=1)
    refused(INVALID, "ShardCount must be specified .* PROVISIONED mode.", "CreateStream",
            StreamName="new", StreamModeDetails={"StreamMode": "PROVISIONED"})
    refused(INVALID, "WarmThroughputMiBps can only be specified .* ON_DEMAND mode.", "CreateStream",
            StreamName="new", ShardCount=1, WarmThroughputMiBps=1)
    refused(INVALID, "WarmThroughputMiBps must not exceed 10240.", "CreateStream",
            StreamName="new", StreamModeDetails=ON_DEMAND, WarmThroughputMiBps=10241)
    refused(INVALID, ".*reserved.", "CreateStream", StreamName="__sluice_x", ShardCount=1)
    refused(INVALID, ".*more than 50 tags.*", "CreateStream", StreamName="new", ShardCount=1,
            Tags={f"k{i}": "v" for i in range(51)})
    refused(INVALID, "Some tags contain invalid characters.*", "CreateStream", StreamName="new",
            ShardCount=1, Tags={"a": "b!"})
    limit = world.must("DescribeLimits")
    more = limit["ShardLimit"] + 1
    refused(LIMIT, "This request would exceed the shard limit for the account .*", "CreateStream",
            StreamName="new", ShardCount=more)
    world.must("CreateStream", StreamName="tagged", ShardCount=1, MaxRecordSizeInKiB=10240,
               Tags={f"k{i}": "v" for i in range(50)})
    assert world.summary("tagged")["MaxRecordSizeInKiB"] == 10240
    for name in ("exists", "tagged"):
        world.must("DeleteStream", StreamName=name)
    refused(NOT_FOUND, words(SAYS("exists")), "DeleteStream", StreamName="exists")


def test_fifty_streams_are_on_demand(world):
    limits = world.must("DescribeLimits")
    most = limits["OnDemandStreamCountLimit"]
    assert most == 50 and limits["ShardLimit"] == 20000, limits
    names = [f"demand{i}" for i in range(most - limits["OnDemandStreamCount"])]
    answers = world.door.burst([("CreateStream", {"StreamName": name, "StreamModeDetails": ON_DEMAND})
                                for name in names])
    assert all(answer.status == 200 for answer in answers), answers
    world.refused(LIMIT, "Limit for on-demand streams has been reached: 50.", "CreateStream",
                  StreamName="one-more", StreamModeDetails=ON_DEMAND)
    answers = world.door.burst([("DeleteStream", {"StreamName": name}) for name in names])
    assert all(answer.status == 200 for answer in answers), answers


def test_a_stream_with_consumers_is_not_deleted_by_mistake(world):
    arn = world.make("read")
    world.must("RegisterStreamConsumer", StreamARN=arn, ConsumerName="c")
    for more in ({}, {"EnforceConsumerDeletion": False}):
        world.refused(IN_USE, ".*has registered consumers.*", "DeleteStream", StreamName="read", **more)
    world.must("DeleteStream", StreamName="read", EnforceConsumerDeletion=True)


# ---- shards ----

def test_shards_split_and_merge_by_the_rules(world):
    refused = world.refused
    world.make("shards", 3)
    ranges = [s["HashKeyRange"] for s in world.must("ListShards", StreamName="shards")["Shards"]]
    first, last = (int(ranges[0][f"{end}HashKey"]) for end in ("Starting", "Ending"))
    for key in (first, first + 1, last, last + 1, KEY_SPACE - 1, KEY_SPACE, 10 ** 39 - 1):
        refused(INVALID, rf"NewStartingHashKey {key} used in SplitShard\(\) on shard {SHARD(0)} in "
                f"stream shards under account {ACCOUNT} is not both greater than one plus the "
                f"shard's StartingHashKey {first} and less than the shard's EndingHashKey {last}.",
                "SplitShard", StreamName="shards", ShardToSplit=SHARD(0), NewStartingHashKey=str(key))
    gone = f"Could not find shard {SHARD(7)} in stream shards under account {ACCOUNT}."
    refused(NOT_FOUND, words(gone), "SplitShard", StreamName="shards", ShardToSplit=SHARD(7),
            NewStartingHashKey="9")
    refused(NOT_FOUND, f"Could not find shard x in stream shards under account {ACCOUNT}.",
            "SplitShard", StreamName="shards", ShardToSplit="x", NewStartingHashKey="9")
    for pair in ((0, 7), (7, 0)):
        refused(NOT_FOUND, words(gone), "MergeShards", StreamName="shards",
                ShardToMerge=SHARD(pair[0]), AdjacentShardToMerge=SHARD(pair[1]))
    for pair in ((0, 2), (0, 0), (1, 0)):
        refused(INVALID, f"Shards {SHARD(pair[0])} and {SHARD(pair[1])} in stream shards under "
                f"account {ACCOUNT} are not an adjacent pair of shards eligible for merging",
                "MergeShards", StreamName="shards", ShardToMerge=SHARD(pair[0]),
                AdjacentShardToMerge=SHARD(pair[1]))
    world.must("SplitShard", StreamName="shards", ShardToSplit=SHARD(0),
               NewStartingHashKey=str(first + 2))
    world.wait_active("shards")
    used = f"Shard {SHARD(0)} in stream shards .* already been merged or split.*"
    refused(INVALID, used, "SplitShard", StreamName="shards", ShardToSplit=SHARD(0),
            NewStartingHashKey=str(first + 3))
    refused(INVALID, used, "MergeShards", StreamName="shards", ShardToMerge=SHARD(0),
            AdjacentShardToMerge=SHARD(1))
    world.must("MergeShards", StreamName="shards", ShardToMerge=SHARD(1), AdjacentShardToMerge=SHARD(2))
    world.wait_active("shards")


def rescale(world, target, kind=None, says=".*"):
    request = {"StreamName": "count", "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"}
    if kind:
        return world.refused(kind, says, "UpdateShardCount", **request)
    answer = world.must("UpdateShardCount", **request)
    world.wait_active("count")
    return answer


def test_shards_are_counted_by_the_rules(world):
    world.make("count", 4)
    rescale(world, 9, INVALID, "UpdateShardCount cannot scale up over double your current open shard "
            "count. Current open shard count: 4 Target shard count: 9")
    rescale(world, 1, INVALID, "UpdateShardCount cannot scale down below half your current open shard "
            "count. Current open shard count: 4 Target shard count: 1")
    rescale(world, 10001, LIMIT, ".*10000 shards at most.")
    answer = rescale(world, 8)
    assert (answer["CurrentShardCount"], answer["TargetShardCount"]) == (4, 8), answer
    # Twice and half are the edge, and ten a day.
    for target in (4, 2, 4, 2, 1, 2, 1, 2, 1):
        rescale(world, target)
    rescale(world, 2, LIMIT, words(DAY.format("UpdateShardCount", 10)))


def test_on_demand_streams_are_not_scaled_by_hand(world):
    world.must("CreateStream", StreamName="demand", StreamModeDetails=ON_DEMAND)
    says = f"Request is invalid. Stream demand under account {ACCOUNT} is in On-Demand mode."
    world.refused(VALIDATION, says, "SplitShard", StreamName="demand", ShardToSplit=SHARD(0),
                  NewStartingHashKey="9")
    world.refused(VALIDATION, says, "MergeShards", StreamName="demand", ShardToMerge=SHARD(0),
                  AdjacentShardToMerge=SHARD(1))
    world.refused(VALIDATION, says, "UpdateShardCount", StreamName="demand", TargetShardCount=5,
                  ScalingType="UNIFORM_SCALING")


def test_a_topics_partitions_are_not_shards_to_split(world):
    world.sluice("stream", "create", "topic", "--partitions", "2")
    says = f"Stream topic under account {ACCOUNT} is a topic.*"
    world.refused(INVALID, says, "SplitShard", StreamName="topic", ShardToSplit=SHARD(0),
                  NewStartingHashKey="9")
    world.refused(INVALID, says, "MergeShards", StreamName="topic", ShardToMerge=SHARD(0),
                  AdjacentShardToMerge=SHARD(1))
    world.refused(INVALID, says, "UpdateShardCount", StreamName="topic", TargetShardCount=3,
                  ScalingType="UNIFORM_SCALING")
    world.refused(INVALID, "Stream topic is a topic.*", "UpdateStreamMode", StreamARN=ARN + "topic",
                  StreamModeDetails=ON_DEMAND)


# ---- settings ----

def retain(world, operation, hours, kind=None, says=".*"):
    request = {"StreamName": "kept", "RetentionPeriodHours": hours}
    if kind:
        return world.refused(kind, says, operation, **request)
    world.must(operation, **request)
    assert world.summary("kept")["RetentionPeriodHours"] == hours
    return None


def test_retention_is_a_day_to_a_year(world):
    up, down = "IncreaseStreamRetentionPeriod", "DecreaseStreamRetentionPeriod"
    world.make("kept")
    for operation in (up, down):
        for hours in (23, 0, -1):
            retain(world, operation, hours, INVALID, "Minimum allowed retention period is 24 hours. "
                   rf"Requested retention period \({hours} hours\) is too short.")
        for hours in (8761, 1 << 31):
            retain(world, operation, hours, INVALID, "Maximum allowed retention period is 8760 hours. "
                   r"Requested retention period \(\d+ hours\) is too long.")
    for hours in (24, 25, 8760):
        retain(world, up, hours)
    retain(world, up, 8759, INVALID, r"Requested retention period \(8759 hours\) for stream kept can "
           r"not be shorter than existing retention period \(8760 hours\). Use "
           "DecreaseRetentionPeriod API.")
    for hours in (8760, 25, 24):
        retain(world, down, hours)
    retain(world, down, 25, INVALID, r"Requested retention period \(25 hours\) for stream kept can not "
           r"be longer than existing retention period \(24 hours\). Use IncreaseRetentionPeriod API.")


def test_encryption_is_started_and_stopped_25_times_a_day(world):
    world.make("sealed")
    request = {"StreamName": "sealed", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}
    for operation in ("StartStreamEncryption", "StopStreamEncryption"):
        world.refused(INVALID, "EncryptionType must be KMS.", operation,
                      **{**request, "EncryptionType": "NONE"})
    for _ in range(25):
        world.must("StartStreamEncryption", **request)
        assert world.summary("sealed")["EncryptionType"] == "KMS"
        world.must("StopStreamEncryption", **request)
    world.refused(LIMIT, words(DAY.format("StartStreamEncryption", 25)), "StartStreamEncryption", **request)
    assert world.summary("sealed")["EncryptionType"] == "NONE"
    world.must("StopStreamEncryption", **request)  # nothing to stop


def test_metrics_are_switched_on_and_off(world):
    world.make("watched")

    def change(operation, *metrics):
        answer = world.must(operation, StreamName="watched", ShardLevelMetrics=list(metrics))
        return answer["CurrentShardLevelMetrics"], answer["DesiredShardLevelMetrics"]

    assert change("EnableEnhancedMonitoring", "IncomingBytes") == ([], ["IncomingBytes"])
    before, after = change("EnableEnhancedMonitoring", "ALL")
    assert before == ["IncomingBytes"] and len(after) == 7, (before, after)
    before, after = change("DisableEnhancedMonitoring", "IncomingBytes", "OutgoingBytes")
    assert len(before) == 7 and len(after) == 5, (before, after)
    assert change("DisableEnhancedMonitoring", "ALL")[1] == []


def test_modes_change_twice_a_day(world):
    arn = world.make("modes")

    def change(mode, **more):
        return {"StreamARN": arn, "StreamModeDetails": {"StreamMode": mode}, **more}

    world.refused(INVALID, "WarmThroughputMiBps can only be specified.*", "UpdateStreamMode",
                  **change("PROVISIONED", WarmThroughputMiBps=4))
    world.refused(LIMIT, "WarmThroughputMiBps must not exceed 10240.", "UpdateStreamMode",
                  **change("ON_DEMAND", WarmThroughputMiBps=10241))
    world.must("UpdateStreamMode", **change("PROVISIONED"))  # it is so already
    world.must("UpdateStreamMode", **change("ON_DEMAND", WarmThroughputMiBps=6))
    world.wait_active("modes")
    seen = world.summary("modes")
    assert (seen["OpenShardCount"], seen["WarmThroughput"]["TargetMiBps"]) == (6, 6), seen
    world.must("UpdateStreamMode", **change("PROVISIONED"))
    assert "WarmThroughput" not in world.summary("modes")
    world.refused(LIMIT, words(DAY.format("UpdateStreamMode", 2)), "UpdateStreamMode",
                  **change("ON_DEMAND"))


def test_throughput_in_advance(world):
    world.make("cold")
    world.refused(VALIDATION, ".*is not in the ON_DEMAND mode.", "UpdateStreamWarmThroughput",
                  StreamName="cold", WarmThroughputMiBps=5)
    world.must("CreateStream", StreamName="warm", StreamModeDetails=ON_DEMAND, WarmThroughputMiBps=6)
    assert world.summary("warm")["OpenShardCount"] == 6
    world.refused(LIMIT, "WarmThroughputMiBps must not exceed 10240.", "UpdateStreamWarmThroughput",
                  StreamName="warm", WarmThroughputMiBps=10241)
    answer = world.must("UpdateStreamWarmThroughput", StreamName="warm", WarmThroughputMiBps=8)
    assert answer["WarmThroughput"] == {"TargetMiBps": 8, "CurrentMiBps": 6}, answer
    world.wait_active("warm")
    assert world.summary("warm")["OpenShardCount"] == 8


def test_account_settings(world):
    def set_to(status):
        return world.must("UpdateAccountSettings", MinimumThroughputBillingCommitment={
            "Status": status})["MinimumThroughputBillingCommitment"]

    assert set_to("ENABLED")["Status"] == "ENABLED"
    shown = world.must("DescribeAccountSettings")["MinimumThroughputBillingCommitment"]
    assert shown["EarliestAllowedEndAt"] - shown["StartedAt"] == 24 * 3600, shown
    # It runs for a day at least.
    assert set_to("DISABLED")["Status"] == "ENABLED_UNTIL_EARLIEST_ALLOWED_END"
    world.refused(VALIDATION, ".*Member must satisfy enum value set.*", "UpdateAccountSettings",
                  MinimumThroughputBillingCommitment={"Status": "ENABLED_UNTIL_EARLIEST_ALLOWED_END"})


# ---- tags, consumers, policies ----

def test_tags_are_fifty(world):
    arn = world.make("tags")
    consumer = world.must("RegisterStreamConsumer", StreamARN=arn, ConsumerName="c",
                          Tags={"a": "b"})["Consumer"]["ConsumerARN"]
    for operation, names in (("AddTagsToStream", {"StreamName": "tags"}),
                             ("TagResource", {"ResourceARN": arn}),
                             ("TagResource", {"ResourceARN": consumer})):
        def add(tags, kind=None, says=".*", operation=operation, names=names):
            if kind:
                world.refused(kind, says, operation, Tags=tags, **names)
            else:
                world.must(operation, Tags=tags, **names)

        add({f"k{i:02}": "v" for i in range(51)}, INVALID, ".*cannot have more than 50 tags.*")
        add({f"k{i:02}": "v" for i in range(49)})
        add({"k00": "again"})
        add({"one more": ""} if "ResourceARN" not in names or names["ResourceARN"] == arn else {"a": ""})
        add({"k51": "v", "k52": "v"}, INVALID, ".*cannot have more than 50 tags.*")
        add({"aws:x": "v"}, INVALID, "Tag keys that begin with aws: are reserved.*")
        add({"a": "<"}, INVALID, "Some tags contain invalid characters.*")
        add({"a%": "b"}, INVALID, ".*because some tags contained illegal characters.*")
    listed = world.must("ListTagsForStream", StreamName="tags")
    assert len(listed["Tags"]) == 50 and not listed["HasMoreTags"], listed
    page = world.must("ListTagsForStream", StreamName="tags", Limit=20, ExclusiveStartTagKey="k20")
    assert [t["Key"] for t in page["Tags"]][:2] == ["k21", "k22"] and page["HasMoreTags"], page
    for resource in (arn, consumer):
        assert len(world.must("ListTagsForResource", ResourceARN=resource)["Tags"]) == 50
    bad = {"TagKeys": ["a%"]}
    world.refused(INVALID, ".*illegal characters.*", "RemoveTagsFromStream", StreamName="tags", **bad)
    world.refused(INVALID, ".*illegal characters.*", "UntagResource", ResourceARN=consumer, **bad)
    world.must("RemoveTagsFromStream", StreamName="tags", TagKeys=["k00", "no such"])
    world.must("UntagResource", ResourceARN=arn, TagKeys=["k01"])
    assert len(world.must("ListTagsForStream", StreamName="tags")["Tags"]) == 48


def test_consumers_are_twenty(world):
    arn = world.make("fans")
    made = [world.must("RegisterStreamConsumer", StreamARN=arn, ConsumerName=f"c{i:02}")["Consumer"]
            for i in range(20)]
    world.refused(LIMIT, ".*has 20 consumers.*", "RegisterStreamConsumer", StreamARN=arn,
                  ConsumerName="more")
    world.refused(IN_USE, f"Consumer c00 under stream {arn} already exists for account {ACCOUNT}.",
                  "RegisterStreamConsumer", StreamARN=arn, ConsumerName="c00")
    both = ("DescribeStreamConsumer", "DeregisterStreamConsumer")
    first, own = made[0]["ConsumerARN"], made[0]["ConsumerName"]
    for operation in both:
        says = "Must specify either ConsumerARN, or both StreamARN and ConsumerName."
        for names in ({}, {"ConsumerName": "c00"}, {"StreamARN": arn}):
            world.refused(INVALID, says, operation, **names)
        world.refused(NOT_FOUND, f"Consumer none under stream {arn} not found for account {ACCOUNT}.",
                      operation, StreamARN=arn, ConsumerName="none")
        world.refused(NOT_FOUND, "Consumer .* not found.", operation, ConsumerARN=first[:-3] + "999")
        # All three may be given while they agree.
        for names in ({"ConsumerName": "c01"}, {"StreamARN": ARN + "other"}):
            world.refused(INVALID, f"ConsumerARN {first} conflicts .*", operation, ConsumerARN=first,
                          **names)
    shown = world.must("DescribeStreamConsumer", ConsumerARN=first, ConsumerName=own, StreamARN=arn)
    assert shown["ConsumerDescription"]["ConsumerStatus"] == "ACTIVE", shown
    world.must("DeregisterStreamConsumer", ConsumerARN=first, ConsumerName=own, StreamARN=arn)
    world.refused(NOT_FOUND, ".*", "DescribeStreamConsumer", ConsumerARN=first)
    assert world.summary("fans")["ConsumerCount"] == 19
    world.refused(INVALID, ".*more than 50 tags.*", "RegisterStreamConsumer", StreamARN=arn,
                  ConsumerName="c20", Tags={f"k{i}": "v" for i in range(51)})


def test_policies_are_json_of_20_kib(world):
    arn = world.make("ruled")
    consumer = world.must("RegisterStreamConsumer", StreamARN=arn,
                          ConsumerName="c")["Consumer"]["ConsumerARN"]
    for resource in (arn, consumer):
        none = f"No resource policy found for resource ARN {resource}."
        assert world.must("GetResourcePolicy", ResourceARN=resource)["Policy"] == "{}"
        world.refused(NOT_FOUND, words(none), "DeleteResourcePolicy", ResourceARN=resource)
        for policy in ("", "x", "[]", "7", "{", '{"a":}'):
            world.refused(INVALID, "The policy is not a valid JSON document.", "PutResourcePolicy",
                          ResourceARN=resource, Policy=policy)
        largest = '{"Sid":"' + "x" * (20480 - 10) + '"}'
        world.refused(LIMIT, ".*20480 bytes.", "PutResourcePolicy", ResourceARN=resource,
                      Policy=largest + " ")
        world.must("PutResourcePolicy", ResourceARN=resource, Policy=largest)
        assert world.must("GetResourcePolicy", ResourceARN=resource)["Policy"] == largest
        world.must("DeleteResourcePolicy", ResourceARN=resource)
        assert world.must("GetResourcePolicy", ResourceARN=resource)["Policy"] == "{}"
    gone = f"{arn}/consumer/none:1"
    for operation, more in (("GetResourcePolicy", {}), ("DeleteResourcePolicy", {}),
                            ("PutResourcePolicy", {"Policy": "{}"}), ("ListTagsForResource", {}),
                            ("TagResource", {"Tags": {"a": "b"}}), ("UntagResource", {"TagKeys": ["a"]})):
        world.refused(NOT_FOUND, f"Consumer {gone} not found.", operation, ResourceARN=gone, **more)
        world.refused(INVALID, ".*names no stream or consumer.", operation,
                      ResourceARN=ARN.replace("stream/", "channel/") + "c", **more)
