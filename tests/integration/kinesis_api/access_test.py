"""Who may not: every operation by a user without any right, on a broker that asks for rights."""
import names_test
import table
from door import NOBODY
from world import ARN, DENIED


def test_who_may_not(world):
    world.make("kept")
    iterator = world.iterator("kept")
    for operation in table.SCHEMA.operations:
        has = names_test.members(operation)
        names = {"StreamName": "kept", "StreamARN": ARN + "kept", "ResourceARN": ARN + "kept",
                 "ConsumerARN": f"{ARN}kept/consumer/c:1", "ShardIterator": iterator}
        request = {**names_test.about(operation), **{k: v for k, v in names.items() if k in has}}
        if operation == "GetRecords":
            request = {"ShardIterator": iterator}
        if operation == "CreateStream":
            request["StreamName"] = "new"
        answer = world.door.call(operation, request, by=NOBODY)
        if operation == "ListStreams":  # lists what may be described
            assert answer.body["StreamNames"] == [], answer
            continue
        world.is_refusal(answer, DENIED, r"User: arn:aws:iam::\d{12}:user/nobody is not authorized "
                         f"to perform: kinesis:{operation} on resource: .* because no identity-based "
                         f"policy allows the kinesis:{operation} action", operation, request)
