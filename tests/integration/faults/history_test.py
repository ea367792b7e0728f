"""The history checker finds each kind of fault in a history that has just that one."""
import copy
import unittest

from history import check


def good():
    """Two partitions, three keys, ten records; all acknowledged but the last, which is stored all the same."""
    events, ends = [], {0: 0, 1: 0}
    for i in range(10):
        partition, key = i % 2, f"k{i % 3}"
        events.append({"type": "send", "id": f"r{i}", "key": f"{partition}-{key}", "sequence": i})
        offset = ends[partition]
        ends[partition] += 1
        events.append({"type": "ack", "id": f"r{i}", "partition": partition, "offset": offset} if i < 9 else
                      {"type": "fail", "id": "r9", "error": "timed out"})
        if i < 6:
            events.append({"type": "read", "partition": partition, "offset": offset, "id": f"r{i}"})
            events.append({"type": "watermark", "partition": partition, "high": offset + 1})
    for i in range(10):
        events.append({"type": "final", "partition": i % 2, "offset": i // 2, "id": f"r{i}"})
    return events


class Checker(unittest.TestCase):
    def setUp(self):
        self.events = good()

    def final(self, id):
        return next(e for e in self.events if e["type"] == "final" and e["id"] == id)

    def found(self, words):
        problems = check(self.events)
        self.assertTrue(any(words in p for p in problems), problems)

    def test_a_good_history(self):
        self.assertEqual(check(self.events), [])

    def test_lost(self):
        self.events.remove(self.final("r8"))
        self.found("acknowledged record r8 is lost")

    def test_an_unacknowledged_record_may_be_missing(self):
        self.events.remove(self.final("r9"))
        self.assertEqual(check(self.events), [])

    def test_moved(self):
        a, b = self.final("r6"), self.final("r8")
        a["id"], b["id"] = b["id"], a["id"]
        self.found("acknowledged record r6 is not at")

    def test_duplicate(self):
        again = copy.copy(self.final("r9"))
        again["offset"] = 5
        self.events.append(again)
        self.found("record r9 is stored 2 times")

    def test_read_of_what_was_never_committed(self):
        self.events.insert(20, {"type": "read", "partition": 1, "offset": 5, "id": "r9"})
        self.found("record r9 was read at partition 1, offset 5")

    def test_gap(self):
        for event in self.events:
            if event["type"] in ("final", "ack", "read") and event["partition"] == 0 and event["offset"] >= 2:
                event["offset"] += 1
        self.found("partition 0 has no record at 1 offsets, the first 2")

    def test_records_missing_below_a_watermark(self):
        self.events.append({"type": "watermark", "partition": 0, "high": 7})
        self.found("partition 0 has no record at 2 offsets")

    def test_watermark_goes_back(self):
        self.events.append({"type": "watermark", "partition": 0, "high": 1})
        self.found("the high watermark of partition 0 went back")

    def test_phantom(self):
        self.final("r9")["id"] = "nobody's"
        self.found("record nobody's was never sent")

    def test_reordered(self):
        # r0 and r6 have one key and are stored in the wrong order; nobody was told their offsets.
        self.events = [e for e in self.events if e["type"] not in ("ack", "read")]
        a, b = self.final("r0"), self.final("r6")
        a["id"], b["id"] = b["id"], a["id"]
        self.found("r0 comes after r6")

    def test_deleted_records_need_not_be_there(self):
        self.events = [e for e in self.events
                       if not (e["type"] == "final" and e["partition"] == 0 and e["offset"] < 2)]
        self.assertNotEqual(check(self.events), [])
        self.events.append({"type": "start", "partition": 0, "offset": 2})
        self.assertEqual(check(self.events), [])


if __name__ == "__main__":
    unittest.main()
