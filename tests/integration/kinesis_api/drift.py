"""Our table held against the model of the API that AWS ships with botocore: the same operations,
members, types, bounds, patterns, words and errors, but for what KNOWN lists with its reason. The
model is read where pip has put it; nothing of it is ours."""
import botocore
import botocore.loaders

import table

VERSION = "2013-12-02"
# What AWS has and we have not, each with a reason in broker/handlers/kinesis/README.md.
CHANNELS = ("CreateChannel", "UpdateChannel", "DeleteChannel", "DescribeChannel", "ListChannels")
KNOWN = {
    **{f"{name}: an operation of AWS's alone": "channels" for name in CHANNELS},
    "UpdateStreamRecordDistributionStrategy: an operation of AWS's alone": "record distribution",
    "CreateStreamRequest.RecordDistributionStrategy: AWS's alone": "record distribution",
    "StreamDescriptionSummary.RecordDistributionStrategy: AWS's alone": "record distribution",
    "StreamDescriptionSummary.ChannelCount: AWS's alone": "channels",
    "DescribeLimitsResponse.ChannelCount: AWS's alone": "channels",
    "DescribeLimitsResponse.ChannelCountLimit: AWS's alone": "channels",
    # Only streams that distribute records themselves take one without a key.
    "PutRecordRequest.PartitionKey: required by us": "record distribution",
    "PutRecordsRequestEntry.PartitionKey: required by us": "record distribution",
    "Record.PartitionKey: required by us": "record distribution",
    "SubscribeToShardResponse.EventStream: AWS's alone": "enhanced fan-out",
}
AWS_S, KINDS = "AWS's", {"structure": "struct"}


class Model:
    def __init__(self):
        self.model = botocore.loaders.Loader().load_service_model("kinesis", "service-2", VERSION)
        self.shapes = self.model["shapes"]
        self.operations = self.model["operations"]

    def errors(self, operation):
        return [error["shape"] for error in self.operations[operation].get("errors", [])]

    def differences(self):
        schema = table.SCHEMA
        for name in sorted(set(self.operations) - set(schema.operations)):
            yield f"{name}: an operation of AWS's alone"
        for name in sorted(set(schema.operations) - set(self.operations)):
            yield f"{name}: an operation of ours alone"
        seen = set()
        for name in schema.operations:
            for side, ours in (("input", "Request"), ("output", "Response")):
                theirs = self.operations.get(name, {}).get(side)
                if theirs:
                    yield from self.compare(name + ours, theirs["shape"], seen)
                elif schema.structs[name + ours].members:
                    yield f"{name}{ours}: members of ours alone"

    def compare(self, ours, theirs, seen):
        if (ours, theirs) in seen:
            return
        seen.add((ours, theirs))
        shape = self.shapes[theirs]
        kind = KINDS.get(shape["type"], shape["type"])
        if table.kind_of(ours) != kind:
            yield f"{ours}: a {table.kind_of(ours)}, at AWS a {kind}"
        elif kind == "struct":
            yield from self.compare_members(ours, shape, seen)
        else:
            yield from self.compare_rules(ours, shape, seen)

    def compare_members(self, ours, shape, seen):
        mine = {member: (required, of) for member, required, of
                in table.SCHEMA.structs[ours].members}
        for member in sorted(set(shape["members"]) | set(mine)):
            if member not in mine or member not in shape["members"]:
                yield f"{ours}.{member}: {'ours' if member in mine else AWS_S} alone"
                continue
            required, of = mine[member]
            if required != (member in shape.get("required", [])):
                yield f"{ours}.{member}: required by {'us' if required else 'AWS'}"
            yield from self.compare(of, shape["members"][member]["shape"], seen)

    def compare_rules(self, ours, shape, seen):
        mine = table.SCHEMA.shapes[ours]
        bounds = table.Bounds(mine)
        for what, own, theirs in (("min", bounds.min, shape.get("min")),
                                  ("max", bounds.max, shape.get("max")),
                                  ("pattern", mine.text, shape.get("pattern")),
                                  ("words", sorted(mine.enum), sorted(shape.get("enum", [])))):
            if own != theirs:
                yield f"{ours}: {what} is {own}, at AWS {theirs}"
        if shape["type"] == "list":
            yield from self.compare(mine.of, shape["member"]["shape"], seen)
        if shape["type"] == "map":
            yield from self.compare(mine.of, shape["key"]["shape"], seen)
            yield from self.compare(mine.value, shape["value"]["shape"], seen)


MODEL = Model()


def problems():
    found = set(MODEL.differences())
    return ([f"not in our list of differences: {one}" for one in sorted(found - set(KNOWN))] +
            [f"no difference any more: {one}" for one in sorted(set(KNOWN) - found)])


def version():
    return botocore.__version__
