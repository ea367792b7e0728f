"""Counts checks and prints them: one line a check, details only where one failed."""

import sys
import traceback


class Report:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def section(self, title):
        print(f"== {title}", flush=True)

    def check(self, name, ok, detail=""):
        """Records one check; `detail` says what was found, and is printed where it failed."""
        if ok:
            self.passed += 1
            print(f"ok    {name}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL  {name}", flush=True)
            for line in str(detail).strip().splitlines():
                print(f"      {line}")
        return ok

    def attempt(self, name, step, *args):
        """Runs a group of checks; what it throws is one failed check, and the next group still runs."""
        self.section(name)
        try:
            step(*args)
        except Exception:  # noqa: BLE001: any fault of a check is a failure to report, not to die of
            self.check(f"{name} run to their end", False, traceback.format_exc())

    def skip(self, name, why):
        """A check that cannot run here; it is counted neither as passed nor as failed."""
        print(f"skip  {name}: {why}", flush=True)

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)
