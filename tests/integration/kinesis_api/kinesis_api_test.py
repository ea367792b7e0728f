"""The Kinesis API held against AWS's.

Thousands of requests are made from broker/protocol/kinesis/api.schema (table.py, generated.py): every
member of every operation left out, null, just legal, just illegal and of every other type, in JSON and
CBOR, each with the answer that AWS gives, word for word. The table itself is held against the model
of the API in botocore (drift.py). What the table cannot say is written by hand (names_test.py,
rules_test.py, records_test.py, rates_test.py, access_test.py): every documented error and limit;
coverage.py names those that cannot be provoked. Every test prints one line; the last is "N passed, N failed".
"""
import sys
import time
import traceback

import access_test
import coverage
import drift
import generated
import names_test
import records_test
import rates_test
import rules_test
import table
from door import FORMATS, Broker
from world import World

SHOWN = 8  # problems of one test that are printed


class Tests:
    def __init__(self, wanted):
        self.wanted, self.passed, self.failed, self.cases = wanted, 0, 0, 0

    def run(self, name, test):
        """`test` gives a note, or a list of problems, or raises."""
        if self.wanted and not any(word in name for word in self.wanted):
            return
        began = time.monotonic()
        try:
            outcome = test()
        except Exception:
            outcome = [traceback.format_exc()]
        took = f"{time.monotonic() - began:.1f} s"
        if isinstance(outcome, list) and outcome:
            self.failed += 1
            print(f"FAIL {name} ({took})", *outcome[:SHOWN], sep="\n  ", flush=True)
            if len(outcome) > SHOWN:
                print(f"  and {len(outcome) - SHOWN} more", flush=True)
        else:
            self.passed += 1
            print(f"ok   {name} ({took}{', ' + outcome if outcome else ''})", flush=True)

    def run_generated(self, name, make):
        """`make` gives a number of cases and their problems for a form of the body."""
        def test():
            count, problems = 0, []
            for form in FORMATS:
                more, found = make(form)
                count += more
                problems += found
            self.cases += count
            return problems or f"{count} cases"
        self.run(name, test)

    def run_module(self, module, world):
        for name, test in vars(module).items():
            if name.startswith("test_"):
                self.run(name[5:], lambda test=test: test(world))


def covered(world):
    found, provoked, documented = coverage.problems(world.provoked)
    return found or f"{provoked} of {documented} provoked"


def main():
    tests = Tests(sys.argv[1:])
    tests.run("the_table_is_aws_s", lambda: drift.problems() or f"botocore {drift.version()}")
    brokers = [Broker(), Broker("--kinesis-operation-rates"), Broker(authorize=True)]
    with brokers[0], brokers[1], brokers[2]:
        world, limited, guarded = (World(one) for one in brokers)
        limited.provoked = guarded.provoked = world.provoked
        tests.run_module(names_test, world)
        tests.run_module(rules_test, world)
        tests.run_module(records_test, world)
        tests.run_module(rates_test, limited)
        tests.run_module(access_test, guarded)
        tests.run_generated("generated_front", lambda form: generated.front(world.door, form))
        for operation in table.SCHEMA.operations:
            tests.run_generated(f"generated_{operation}", lambda form, operation=operation:
                                generated.run(world, operation, form))
        if not tests.wanted:
            tests.run("every_documented_error", lambda: covered(world))
    for one in brokers:
        if tests.failed:
            print(f"# {one.dir}/log")
        else:
            one.forget()
    print(f"# {tests.cases} generated cases")
    print(f"{tests.passed} passed, {tests.failed} failed")
    return 1 if tests.failed or not tests.passed else 0


if __name__ == "__main__":
    sys.exit(main())
