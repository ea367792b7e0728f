"""AWS's rates of operations, on a broker that keeps them: `--dev` lifts them otherwise."""
import time

import names_test
from world import LIMIT, NOT_FOUND, SHARD, THROTTLED

# docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html, and each operation's page.
PER_SECOND = {
    "AddTagsToStream": 5, "CreateStream": 5, "DecreaseStreamRetentionPeriod": 5, "DeleteStream": 5,
    "DeregisterStreamConsumer": 5, "DescribeAccountSettings": 5, "DescribeLimits": 1,
    "DescribeStream": 10, "DescribeStreamConsumer": 20, "DescribeStreamSummary": 20,
    "DisableEnhancedMonitoring": 5, "EnableEnhancedMonitoring": 5, "GetShardIterator": 5,
    "IncreaseStreamRetentionPeriod": 5, "ListStreamConsumers": 5, "ListStreams": 5,
    "ListTagsForStream": 5, "MergeShards": 5, "RegisterStreamConsumer": 5, "RemoveTagsFromStream": 5,
    "SplitShard": 5, "UpdateAccountSettings": 5, "UpdateShardCount": 10,
    "UpdateStreamWarmThroughput": 5, "ListShards": 1000,
}
# Those that a stream, or a shard, has for itself.
OF_A_STREAM = {"RegisterStreamConsumer", "DeregisterStreamConsumer", "DescribeStreamConsumer",
               "ListStreamConsumers", "GetShardIterator", "ListShards"}
MANY = 100  # more than these are not signed in time: see test_the_rate_of_list_shards


def request_to(operation, stream):
    """About a stream that is not there: what is refused for its rate is so before that is seen."""
    has, request = names_test.members(operation), names_test.about(operation)
    if "StreamName" in has:
        request["StreamName"] = stream
    elif "StreamARN" in has:
        request["StreamARN"] = names_test.ARN + stream
        request["ConsumerName"] = "c"
    if operation == "CreateStream":  # and none is made
        request["ShardCount"] = 1_000_000
    return request


def test_every_rate(world):
    slow = []
    for operation, rate in PER_SECOND.items():
        if rate > MANY:
            continue
        for attempt in range(5):
            stream = f"absent{attempt}"
            began = time.monotonic()
            answers = world.door.burst([(operation, request_to(operation, stream))] * (rate + 2))
            if time.monotonic() - began < 0.9:
                break
            time.sleep(1)  # what was counted is over then
        else:
            slow.append(operation)
            continue
        kind = THROTTLED if operation == "GetShardIterator" else LIMIT
        says = (f"Rate exceeded for shard {SHARD(0)} of {stream} under account .*" if kind == THROTTLED
                else f"Rate exceeded for account .*: {operation} may be called {rate} times a second.")
        for answer in answers[:rate]:
            assert not answer.message.startswith("Rate exceeded"), (operation, answer)
        for answer in answers[rate:]:
            world.is_refusal(answer, kind, says, operation)
        # Another stream's calls are not counted with these, where a stream has its own rate.
        other = world.door.burst([(operation, request_to(operation, "elsewhere"))])[0]
        if time.monotonic() - began < 0.9:
            assert other.message.startswith("Rate exceeded") != (operation in OF_A_STREAM), \
                (operation, other)
    return f"too slow a machine to say of {slow}" if slow else f"{len(PER_SECOND) - 1} operations"


def test_the_rate_of_list_shards(world):
    """One request, signed once and sent again and again, as fast as it is answered: about a stream that
    is not there, which the rate does not ask."""
    rate = PER_SECOND["ListShards"]
    request = world.door.request("ListShards", {"StreamName": "unlisted"})
    deadline = time.monotonic() + 60
    while True:
        began, answers = time.monotonic(), []
        for _ in range(3 * rate // 100):
            answers += world.door.exchange([request] * 100)
        took = time.monotonic() - began
        refused = [answer for answer in answers if answer.type != NOT_FOUND]
        given = len(answers) - len(refused)
        assert given >= min(len(answers), rate), (given, took)
        assert given <= rate * (took + 1), (given, took)
        if refused:
            break
        assert time.monotonic() < deadline, f"{len(answers)} calls took {took:.1f} s, and again for a minute"
    for answer in refused:
        world.is_refusal(answer, LIMIT, "Rate exceeded for account .*: "
                         f"ListShards may be called {rate} times a second.", "ListShards")
    return f"{given} of {len(answers)} calls in {took:.1f} s"


def test_what_has_no_rate(world):
    free = [o for o in names_test.table.SCHEMA.operations if o not in PER_SECOND]
    for operation in free:
        for answer in world.door.burst([(operation, names_test.about(operation))] * 30):
            assert not answer.message.startswith("Rate exceeded"), (operation, answer)
    return f"{len(free)} operations"
