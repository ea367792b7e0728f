"""Checks what clients did and saw against what a correct log may show.

A history is a list of events (dicts), in the order in which the client saw them:
  send      id, key, sequence          a record goes to the client library; `id` is unique
  ack       id, partition, offset      acknowledged (offset -1: not told)
  fail      id, error                  given up; it may or may not be stored
  read      partition, offset, id      a consumer was given it while the cluster was under stress
  watermark partition, high            the high watermark that a consumer was told
  start     partition, offset          the log's first offset at the end (records before were deleted)
  final     partition, offset, id      a read of everything, after the cluster had healed

`python3 history.py FILE.jsonl` checks a stored one. The faults it tells: see check().
"""
import collections
import json
import sys


def check(events):
    """What is wrong, as texts; empty when nothing is."""
    sent, acked, final, starts = {}, {}, collections.defaultdict(dict), {}
    live, high, wrong = [], {}, []
    for event in events:
        kind = event["type"]
        if kind == "send":
            sent[event["id"]] = event
        elif kind == "ack":
            acked[event["id"]] = event
        elif kind == "read":
            live.append(event)
        elif kind == "start":
            starts[event["partition"]] = event["offset"]
        elif kind == "watermark":
            before = high.get(event["partition"], -1)
            if event["high"] < before:
                wrong.append(f"the high watermark of partition {event['partition']} went back from {before} to "
                             f"{event['high']}")
            high[event["partition"]] = max(before, event["high"])
        elif kind == "final":
            at = final[event["partition"]]
            if event["offset"] in at and at[event["offset"]] != event["id"]:
                wrong.append(f"two records at {place(event)}: {at[event['offset']]} and {event['id']}")
            at[event["offset"]] = event["id"]
    wrong += lost(acked, final, starts)
    wrong += uncommitted(live, final, starts)
    wrong += duplicates(final)
    wrong += phantoms(final, sent)
    wrong += gaps(final, high, starts)
    wrong += reordered(final, sent)
    return wrong


def place(event):
    return f"partition {event['partition']}, offset {event['offset']}"


def deleted(event, starts):
    return 0 <= event["offset"] < starts.get(event["partition"], 0)


def lost(acked, final, starts):
    """Acknowledged, and not there at the end, or not where the acknowledgement said."""
    everything = {id for records in final.values() for id in records.values()}
    found = []
    for id, ack in acked.items():
        if deleted(ack, starts):
            continue
        if id not in everything:
            found.append(f"acknowledged record {id} is lost ({place(ack)})")
        elif ack["offset"] >= 0 and final[ack["partition"]].get(ack["offset"]) != id:
            found.append(f"acknowledged record {id} is not at {place(ack)}, but "
                         f"{final[ack['partition']].get(ack['offset'])} is")
    return found


def uncommitted(live, final, starts):
    """Read by a consumer, and not there at the end: it was never committed."""
    return [f"record {e['id']} was read at {place(e)}; at the end {final[e['partition']].get(e['offset'])} is there"
            for e in live if not deleted(e, starts) and final[e["partition"]].get(e["offset"]) != e["id"]]


def duplicates(final):
    places = collections.defaultdict(list)
    for partition, records in final.items():
        for offset, id in records.items():
            places[id].append((partition, offset))
    return [f"record {id} is stored {len(at)} times: {at}" for id, at in places.items() if len(at) > 1]


def phantoms(final, sent):
    return [f"record {id} was never sent ({partition}, {offset})" for partition, records in final.items()
            for offset, id in records.items() if id not in sent]


def gaps(final, high, starts):
    """Offsets are dense from the log's start to the highest watermark that anybody was told."""
    found = []
    for partition in set(final) | set(high):
        records, start = final[partition], starts.get(partition, 0)
        end = max([high.get(partition, 0), *(offset + 1 for offset in records)])
        missing = [offset for offset in range(start, end) if offset not in records]
        if missing:
            found.append(f"partition {partition} has no record at {len(missing)} offsets, the first {missing[0]} of {end}")
    return found


def reordered(final, sent):
    """Each key's records come in the order in which they were sent."""
    found = []
    for partition, records in final.items():
        last = {}
        for offset in sorted(records):
            record = sent.get(records[offset])
            if not record:
                continue
            before = last.get(record["key"])
            if before and before["sequence"] > record["sequence"]:
                found.append(f"partition {partition}: {record['id']} comes after {before['id']} at offset {offset}")
            last[record["key"]] = record
    return found


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        problems = check([json.loads(line) for line in file])
    print("\n".join(problems) or "nothing is wrong")
    sys.exit(bool(problems))
