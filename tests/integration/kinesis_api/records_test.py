"""Every rule of putting and reading records and of listing, broken; every limit, reached and passed:
sizes, counts, what a shard takes and gives in a second, and how long iterators and tokens live."""
import time

from cbor import Time
from door import ACCOUNT
from world import (ARN, DRY_RUN, EXPIRED_ITERATOR, EXPIRED_TOKEN, INVALID, KEY_SPACE, NOT_FOUND,
                   SHARD, THROTTLED, VALIDATION)

MIB = 1 << 20
LIFE_S = 300


def record(data=b"d", key="k", **more):
    return {"Data": data, "PartitionKey": key, **more}


def test_records_are_put_by_the_rules(world):
    refused = world.refused
    world.make("puts", limits="none")
    for number in (KEY_SPACE, 10 ** 39 - 1):
        says = ("Invalid ExplicitHashKey. ExplicitHashKey must be in the range: .0, 2.128-1.. "
                f"Specified value was {number}")
        refused(INVALID, says, "PutRecord", StreamName="puts", **record(ExplicitHashKey=str(number)))
        refused(INVALID, says, "PutRecords", StreamName="puts",
                Records=[record(), record(ExplicitHashKey=str(number))])
    for number in ("9" * 56, "1" * 129):
        refused(INVALID, f"ExclusiveMinimumSequenceNumber {number} used in PutRecord on stream puts "
                f"under account {ACCOUNT} is invalid.", "PutRecord", StreamName="puts",
                SequenceNumberForOrdering=number, **record())
    first = world.must("PutRecord", StreamName="puts", **record(ExplicitHashKey=str(KEY_SPACE - 1)))
    second = world.must("PutRecord", StreamName="puts", **record(
        key="\U0001F680" * 128, SequenceNumberForOrdering=first["SequenceNumber"]))
    assert int(second["SequenceNumber"]) > int(first["SequenceNumber"])
    for operation, more in (("PutRecord", record()), ("PutRecords", {"Records": [record()]})):
        refused(DRY_RUN, ".*", operation, StreamName="puts", DryRun=True, **more)
    # As AWS's own example of PutRecord begins.
    world.must("PutRecord", StreamName="puts", SequenceNumberForOrdering="0", **record())
    # Nothing of all that has been stored but the three.
    read = world.must("GetRecords", ShardIterator=world.iterator("puts"))["Records"]
    assert len(read) == 3, read


def test_a_record_has_a_mebibyte_or_ten(world):
    arn = world.make("large", limits="none")
    for kib, operation in ((1024, None), (2048, "UpdateMaxRecordSize"), (10240, "UpdateMaxRecordSize")):
        if operation:
            world.must(operation, StreamARN=arn, MaxRecordSizeInKiB=kib)
        # The key is not counted with the data, but in a request it is.
        size = min(kib * 1024, 10 * MIB - 1)
        world.must("PutRecord", StreamName="large", **record(bytes(size)))
        world.must("PutRecords", StreamName="large", Records=[record(bytes(size))])
        if kib == 10240:
            break  # more is more than any record may have
        says = f"The record's data of {size + 1} bytes exceeds the maximum record size of stream large, " \
               f"{kib} KiB.*"
        world.refused(INVALID, says, "PutRecord", StreamName="large", **record(bytes(size + 1)))
        world.refused(INVALID, says, "PutRecords", StreamName="large", Records=[record(bytes(size + 1))])
    world.refused(INVALID, "Either StreamName or StreamARN must be provided.", "UpdateMaxRecordSize",
                  MaxRecordSizeInKiB=2048)
    for kib in (1023, 10241):
        world.refused(VALIDATION, ".*'maxRecordSizeInKiB'.*", "UpdateMaxRecordSize", StreamARN=arn,
                      MaxRecordSizeInKiB=kib)


def test_a_request_has_500_records_and_ten_mebibytes(world):
    world.make("batch", limits="none")
    answer = world.must("PutRecords", StreamName="batch", Records=[record()] * 500)
    assert answer["FailedRecordCount"] == 0 and len(answer["Records"]) == 500
    world.refused(VALIDATION, ".*Member must have length less than or equal to 500", "PutRecords",
                  StreamName="batch", Records=[record()] * 501)
    full = [record(bytes(MIB - 1))] * 10  # with its key a mebibyte
    assert world.must("PutRecords", StreamName="batch", Records=full)["FailedRecordCount"] == 0
    world.refused(INVALID, "Records size exceeds 10 MB limit", "PutRecords", StreamName="batch",
                  Records=full[:9] + [record(bytes(MIB))])


def test_a_read_has_10000_records_or_ten_mebibytes(world):
    world.make("reads", limits="none")
    answers = world.door.burst([("PutRecords", {"StreamName": "reads", "Records": [record()] * 500})
                                for _ in range(21)])
    assert all(answer.body["FailedRecordCount"] == 0 for answer in answers)
    iterator = world.iterator("reads")
    page = world.must("GetRecords", ShardIterator=iterator)
    assert len(page["Records"]) == 10000, len(page["Records"])
    rest = world.must("GetRecords", ShardIterator=page["NextShardIterator"], Limit=10000)
    assert len(rest["Records"]) == 500 and rest["MillisBehindLatest"] == 0
    assert len(world.must("GetRecords", ShardIterator=iterator, Limit=1)["Records"]) == 1
    world.refused(VALIDATION, ".*Member must have value less than or equal to 10000", "GetRecords",
                  ShardIterator=iterator, Limit=10001)
    latest = world.iterator("reads", "LATEST")
    for _ in range(2):
        world.must("PutRecords", StreamName="reads", Records=[record(bytes(MIB - 1))] * 6)
    page = world.must("GetRecords", ShardIterator=latest)
    # What the log has around each record counts too: ten would be ten mebibytes without it.
    assert len(page["Records"]) in (9, 10) and page["NextShardIterator"], len(page["Records"])


# ---- iterators ----

def test_iterators_are_made_by_the_rules(world):
    refused = world.refused
    world.make("where")
    world.make("elsewhere")
    put = world.must("PutRecord", StreamName="where", **record())["SequenceNumber"]
    other = world.must("PutRecord", StreamName="elsewhere", **record())["SequenceNumber"]

    def ask(kind, says, iterator_type, shard=SHARD(0), **more):
        refused(kind, says, "GetShardIterator", StreamName="where", ShardId=shard,
                ShardIteratorType=iterator_type, **more)

    for shard in (SHARD(1), SHARD(999)):
        ask(NOT_FOUND, f"Shard {shard} in stream where under account {ACCOUNT} does not exist",
            "LATEST", shard)
    for shard in ("x", "shardId-", "shardId--1", "shardId-99999999999999999999"):
        ask(NOT_FOUND, f"Could not find shard {shard} in stream where under account {ACCOUNT}.",
            "LATEST", shard)
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        ask(INVALID, f"Must either specify .*Request specified {kind} and no StartingSequenceNumber.",
            kind)
        ask(INVALID, f"StartingSequenceNumber {other} used in GetShardIterator .* is invalid because "
            "it did not come from this stream.", kind, StartingSequenceNumber=other)
        for number in ("0", "7", "9" * 129):
            ask(INVALID, f"StartingSequenceNumber {number} used in GetShardIterator on shard "
                f"{SHARD(0)} in stream where under account {ACCOUNT} is invalid.*", kind,
                StartingSequenceNumber=number)
    for kind in ("TRIM_HORIZON", "LATEST"):
        ask(INVALID, f"Must either specify .*Request specified {kind} and also a "
            "StartingSequenceNumber.", kind, StartingSequenceNumber=put)
    ask(INVALID, "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. .*",
        "AT_TIMESTAMP")
    ask(INVALID, "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis.*",
        "AT_TIMESTAMP", Timestamp=Time((time.time() + 3600) * 1000))
    refused(DRY_RUN, ".*", "GetShardIterator", StreamName="where", ShardId=SHARD(0),
            ShardIteratorType="LATEST", DryRun=True)
    world.must("SplitShard", StreamName="where", ShardToSplit=SHARD(0),
               NewStartingHashKey=str(KEY_SPACE // 2))
    world.wait_active("where")
    ask(INVALID, f"Invalid StartingSequenceNumber. It encodes {SHARD(0)}, while it was used in a call "
        f"to a shard with {SHARD(1)}", "AT_SEQUENCE_NUMBER", SHARD(1), StartingSequenceNumber=put)
    # A closed shard is read to its end, which names its children.
    page = world.must("GetRecords", ShardIterator=world.iterator("where"))
    while page.get("NextShardIterator"):
        page = world.must("GetRecords", ShardIterator=page["NextShardIterator"])
    assert [c["ShardId"] for c in page["ChildShards"]] == [SHARD(1), SHARD(2)], page


def test_an_iterator_lives_for_five_minutes(world):
    world.make("brief")
    iterator = world.iterator("brief")
    refused, get = world.refused, "GetRecords"
    world.must(get, ShardIterator=world.aged_iterator(iterator, LIFE_S - 60))
    refused(EXPIRED_ITERATOR, "Iterator expired. The iterator was created at time .* while right now "
            "it is .* which is further in the future than the tolerated delay of 300000 milliseconds.",
            get, ShardIterator=world.aged_iterator(iterator, LIFE_S + 1))
    forged = iterator[:-2] + ("AA" if iterator[-2:] != "AA" else "BB")
    for text in (forged, iterator[:-4], iterator + "AAAA", "x", "A" * 512):
        refused(INVALID, "Invalid ShardIterator.", get, ShardIterator=text)
    world.make("other")
    refused(INVALID, "Invalid ShardIterator.", get, ShardIterator=iterator, StreamARN=ARN + "other")
    world.must(get, ShardIterator=iterator, StreamARN=ARN + "brief")
    refused(DRY_RUN, ".*", get, ShardIterator=iterator, DryRun=True)
    # A page's token is no iterator.
    token = world.must("ListStreams", Limit=1)["NextToken"]
    refused(INVALID, "Invalid ShardIterator.", get, ShardIterator=token)
    world.must("DeleteStream", StreamName="brief")
    refused(NOT_FOUND, ".*does not exist", get, ShardIterator=iterator)


# ---- listings ----

def test_shards_are_listed_by_the_rules(world):
    world.make("list", 3)
    now = Time(time.time() * 1000)

    def ask(kind, says, **request):
        world.refused(kind, says, "ListShards", **request)

    token = world.must("ListShards", StreamName="list", MaxResults=1)["NextToken"]
    ask(INVALID, "Either NextToken or StreamName should be provided.")
    ask(INVALID, "NextToken and StreamName cannot be provided together.", NextToken=token,
        StreamName="list")
    for more in ({"ExclusiveStartShardId": SHARD(0)}, {"StreamCreationTimestamp": now},
                 {"ShardFilter": {"Type": "AT_LATEST"}}):
        ask(INVALID, "NextToken cannot be provided together with .*", NextToken=token, **more)
    ask(NOT_FOUND, "Could not find shard x .*", StreamName="list", ExclusiveStartShardId="x")
    ask(NOT_FOUND, "Stream list .* not found.", StreamName="list", StreamCreationTimestamp=Time(1000))
    future = Time((time.time() + 3600) * 1000)
    for shard_filter in ({"Type": "AFTER_SHARD_ID"}, {"Type": "AFTER_SHARD_ID", "ShardId": "x"},
                         {"Type": "AT_LATEST", "ShardId": SHARD(0)}, {"Type": "AT_TIMESTAMP"},
                         {"Type": "FROM_TIMESTAMP"}, {"Type": "AT_LATEST", "Timestamp": now},
                         {"Type": "AT_TIMESTAMP", "Timestamp": future}):
        ask(INVALID, ".*ShardFilter.*", StreamName="list", ShardFilter=shard_filter)
    for kind in ("AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST"):
        shards = world.must("ListShards", StreamName="list", ShardFilter={"Type": kind})["Shards"]
        assert len(shards) == 3, (kind, shards)
    world.refused(NOT_FOUND, "Could not find shard x .*", "DescribeStream", StreamName="list",
                  ExclusiveStartShardId="x")
    world.must("DeleteStream", StreamName="list")
    ask(NOT_FOUND, ".*", NextToken=token)


def test_tokens_live_for_five_minutes(world):
    arn = world.make("pages", 2)
    world.make("pages2")
    for name in ("a", "b"):
        world.must("RegisterStreamConsumer", StreamARN=arn, ConsumerName=name)
    listings = {"ListShards": ({"StreamName": "pages", "MaxResults": 1}, {}),
                "ListStreamConsumers": ({"StreamARN": arn, "MaxResults": 1}, {"StreamARN": arn}),
                "ListStreams": ({"Limit": 1}, {})}
    tokens = {}
    for operation, (first, more) in listings.items():
        tokens[operation] = world.must(operation, **first)["NextToken"]
        world.must(operation, NextToken=tokens[operation], **more)
        world.must(operation, NextToken=world.aged_page(tokens[operation], LIFE_S - 60), **more)
        world.refused(EXPIRED_TOKEN, "The NextToken is older than 300 seconds.*", operation,
                      NextToken=world.aged_page(tokens[operation], LIFE_S + 1), **more)
        for text in ("x", tokens[operation][:-2] + "AA", world.iterator("pages")):
            world.refused(INVALID, "NextToken is invalid.", operation, NextToken=text, **more)
    for operation, (_, more) in listings.items():
        for other in set(listings) - {operation}:
            world.refused(INVALID, "NextToken is invalid.", operation, NextToken=tokens[other], **more)
    world.refused(INVALID, "NextToken is invalid.", "ListStreamConsumers", StreamARN=ARN + "pages2",
                  NextToken=tokens["ListStreamConsumers"])
    world.refused(INVALID, "NextToken and StreamCreationTimestamp cannot be provided together.",
                  "ListStreamConsumers", StreamARN=arn, NextToken=tokens["ListStreamConsumers"],
                  StreamCreationTimestamp=Time(1000))
    world.refused(NOT_FOUND, ".*not found.", "ListStreamConsumers", StreamARN=arn,
                  StreamCreationTimestamp=Time(1000))


def test_pages_are_no_larger_than_aws_makes_them(world):
    world.make("wide", 1001)
    page = world.must("ListShards", StreamName="wide", MaxResults=10000)
    assert len(page["Shards"]) == 1000 and page["NextToken"], len(page["Shards"])
    assert len(world.must("ListShards", NextToken=page["NextToken"])["Shards"]) == 1
    for limit in ({}, {"Limit": 10000}):
        shown = world.must("DescribeStream", StreamName="wide", **limit)["StreamDescription"]
        assert len(shown["Shards"]) == 100 and shown["HasMoreShards"], len(shown["Shards"])
    world.must("DeleteStream", StreamName="wide")
    made = [f"page{i:03}" for i in range(101)]
    answers = world.door.burst([("CreateStream", {"StreamName": name, "ShardCount": 1}) for name in made])
    assert all(answer.status == 200 for answer in answers)
    for limit in ({}, {"Limit": 10000}):
        page = world.must("ListStreams", **limit)
        assert len(page["StreamNames"]) == 100 and page["HasMoreStreams"], len(page["StreamNames"])


# ---- what a shard takes and gives in a second ----

def within_a_second(world, calls, expected):
    """Calls at once, again until they were all answered within a second; then `expected` must be so.
    A machine that is too slow for it proves nothing, and that is said."""
    for _ in range(5):
        name = world.make_another("fast")
        made = calls(name)
        began = time.monotonic()
        answers = world.door.burst(made)
        took = time.monotonic() - began
        if took < 0.9:
            expected(name, answers)
            return ""
    return "too slow a machine to say"


def test_a_shard_takes_a_thousand_records_a_second(world):
    def expected(name, answers):
        failed = [answer.body["FailedRecordCount"] for answer in answers]
        assert failed == [0, 0, 500, 500], failed
        entry = answers[3].body["Records"][0]
        assert entry["ErrorCode"] == THROTTLED and "SequenceNumber" not in entry, entry
        assert entry["ErrorMessage"] == f"Rate exceeded for shard {SHARD(0)} in stream {name} under " \
            f"account {ACCOUNT}.", entry

    return within_a_second(world, lambda name: [
        ("PutRecords", {"StreamName": name, "Records": [record()] * 500})] * 4, expected)


def test_a_shard_takes_a_mebibyte_a_second(world):
    def expected(name, answers):
        world.is_refusal(answers[2], THROTTLED, f"Rate exceeded for shard {SHARD(0)} in stream {name} "
                         f"under account {ACCOUNT}.", "PutRecord")
        assert answers[0].type == answers[1].type == "", answers
        # A whole request that is refused is still answered 200, record by record.
        entry = answers[3].body["Records"][0]
        assert answers[3].body["FailedRecordCount"] == 1 and entry["ErrorCode"] == THROTTLED, answers[3]
        world.provoked.add(("PutRecords", THROTTLED))

    half = record(bytes(MIB // 2 - 1))
    return within_a_second(world, lambda name: [
        ("PutRecord", {"StreamName": name, **half}), ("PutRecord", {"StreamName": name, **half}),
        ("PutRecord", {"StreamName": name, **half}),
        ("PutRecords", {"StreamName": name, "Records": [half]})], expected)


def test_a_shard_is_read_five_times_a_second(world):
    def expected(name, answers):
        assert [answer.type for answer in answers] == [""] * 5 + [THROTTLED], answers
        world.is_refusal(answers[5], THROTTLED, f"Rate exceeded for shard {SHARD(0)} in stream {name} "
                         f"under account {ACCOUNT}.", "GetRecords")

    return within_a_second(world, lambda name: [
        ("GetRecords", {"ShardIterator": world.iterator(name)})] * 6, expected)


def test_ten_mebibytes_read_are_paid_for_in_five_seconds(world):
    world.make("paid", limits="none")
    world.must("PutRecords", StreamName="paid", Records=[record(bytes(MIB - 1))] * 10)
    world.sluice("stream", "update", "paid", "--limits", "aws")
    iterator = world.iterator("paid")
    began = time.monotonic()
    page = world.must("GetRecords", ShardIterator=iterator)
    answer = world.door.call("GetRecords", {"ShardIterator": iterator, "Limit": 1})
    took = time.monotonic() - began
    assert len(page["Records"]) in (9, 10), len(page["Records"])
    if took > 3:
        return "too slow a machine to say"
    world.is_refusal(answer, THROTTLED, "Rate exceeded.*", "GetRecords")
    return ""


# ---- what comes later ----

def test_subscribing_says_that_it_is_not_here_yet(world):
    arn = world.make("later")
    consumer = world.must("RegisterStreamConsumer", StreamARN=arn,
                          ConsumerName="c")["Consumer"]["ConsumerARN"]
    for form in ("json", "cbor"):
        answer = world.door.call("SubscribeToShard", {
            "ConsumerARN": consumer, "ShardId": SHARD(0), "StartingPosition": {"Type": "LATEST"}}, form)
        world.is_refusal(answer, INVALID, "SubscribeToShard is not offered by this endpoint yet: read "
                         "with GetShardIterator and GetRecords.", "SubscribeToShard")
