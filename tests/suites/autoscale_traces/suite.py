"""The planner on every trace of traces.py, and on three real ones, against the aims of the autoscaler:
throttled at most 0.1 %, shard-hours at most 1.25 of the clairvoyant, at most two splits and merges per
shard and hour, enough shards within 30 s of a step of four. Writes RESULTS.md. Where an aim is missed
the table says by how much; what a causal planner cannot reach is worked out in README.md. It fails
where a trace of the families in MUST misses an aim, or where the simulator's own figures differ from
those computed here from its schedule.
"""
import collections
import concurrent.futures
import csv
import io
import json
import math
import os
import pathlib
import subprocess
import sys

import held_out
import traces

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"))
MIB = 1 << 20
# Families that every change of the planner must keep within the aims for throttling.
MUST = {"daily", "daily, noise that lasts", "sampling", "weekly", "steps", "step of 4", "ramps",
        "flash crowds", "sawtooth", "random walk", "self-similar", "hot key", "flat noise",
        "near one shard", "idle", "real"}


def real():
    """Counts from the npm package vega-datasets, by the integration suite's own readers."""
    sys.path.insert(0, str(ROOT / "tests/integration/autoscale"))
    import autoscale_test
    yield "real GitHub pushes by the hour", "real", autoscale_test.github_trace()
    yield "real departures of flights by the hour", "real", autoscale_test.flights_trace()


def simulate(text):
    done = subprocess.run([BIN / "sluice", "autoscale", "simulate", "-", "-o", "json"], input=text,
                          capture_output=True, text=True, check=True, timeout=3600)
    return json.loads(done.stdout)


def throttled_again(text, schedule):
    """From the schedule alone: what open shards cannot take; and the part that nobody could."""
    rows = [[float(row[k] or 0) for k in ("time_s", "bytes_per_s", "records_per_s")] +
            [float(row.get("hot_key_share") or 0)] for row in csv.DictReader(io.StringIO(text))]
    end = 2 * rows[-1][0] - rows[-2][0]
    lost = forced = total = 0.0
    at = 0
    for i, (begin, size, records, hot_share) in enumerate(rows):
        until = rows[i + 1][0] if i + 1 < len(rows) else end
        need = max(size / MIB, records / 1000)
        hot = need * hot_share
        total += need * (until - begin)
        forced += max(0, hot - 1) * (until - begin)
        while begin < until:
            while at + 1 < len(schedule) and schedule[at + 1][0] <= begin:
                at += 1
            stop = min(until, schedule[at + 1][0]) if at + 1 < len(schedule) else until
            short = max(0, hot - 1) + max(0, need - hot - (schedule[at][1] - min(1, hot)))
            lost += short * (stop - begin)
            begin = stop
    return (lost / total, forced / total) if total else (0, 0)


def row_of(job):
    name, family, text = job
    result = simulate(text)
    throttled, forced = throttled_again(text, result["schedule"])
    return {"name": name, "family": family, "throttled": throttled - forced,
            "hours": result["shard_hours"] / result["clairvoyant_shard_hours"],
            "on_demand": result["on_demand_shard_hours"] / result["clairvoyant_shard_hours"],
            "actions": result["actions"] / result["shard_hours"],
            "short": result["longest_shortage_s"], "forced": forced,
            "same": math.isclose(throttled, result["throttled_ratio"], abs_tol=1e-9)}


def missed(row):
    aims = []
    if row["throttled"] > 0.001:
        aims.append("throttled")
    if row["hours"] > 1.25:
        aims.append("hours")
    if row["actions"] > 2:
        aims.append("actions")
    if row["family"] == "step of 4" and row["short"] > 30:
        aims.append("step")
    return aims


def write(rows, path):
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
                            capture_output=True, text=True).stdout.strip()
    lines = ["# The planner on traces", "",
             f"Made by `tests/suites/autoscale_traces/run` at {commit or 'an unknown commit'}, with the "
             "default policy. Throttled: beyond what a key too hot for a shard forces. Hours: shard-hours "
             "over the clairvoyant's, in brackets Kinesis on-demand's rule. Actions: splits, and boundaries "
             "between shards that went, per shard and hour, those that steps ask for included. Short: "
             "the longest time with too few shards. [README.md](README.md) says what cannot be reached, and why.", "",
             "| family | traces | throttled, worst | hours, mean (worst) | actions, mean (worst) | "
             "within all aims |", "|---|---|---|---|---|---|"]
    by_family = collections.defaultdict(list)
    for row in rows:
        by_family[row["family"]].append(row)
    for family, some in by_family.items():
        mean = {k: sum(row[k] for row in some) / len(some) for k in ("hours", "actions")}
        lines.append(f"| {family} | {len(some)} | {max(r['throttled'] for r in some):.4%} | "
                     f"{mean['hours']:.2f} ({max(r['hours'] for r in some):.2f}) | "
                     f"{mean['actions']:.2f} ({max(r['actions'] for r in some):.2f}) | "
                     f"{sum(not missed(r) for r in some)} |")
    good = sum(not missed(row) for row in rows)
    count = collections.Counter(aim for row in rows for aim in missed(row))
    lines += ["", f"{good} of {len(rows)} traces are within every aim; missed: " +
              (", ".join(f"{aim} {n}" for aim, n in sorted(count.items())) or "none") + ".", "",
              "| trace | throttled | hours | actions | short | missed |", "|---|---|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row['name']} | {row['throttled']:.4%} | {row['hours']:.2f} "
                     f"({row['on_demand']:.1f}) | {row['actions']:.2f} | {row['short']:.0f} s | "
                     f"{', '.join(missed(row))} |")
    path.write_text("\n".join(lines) + "\n")


def main():
    if sys.argv[1:2] == ["held"]:  # as all their names begin
        jobs = list(held_out.families())
    else:
        jobs = list(traces.families()) + list(real())
    if len(sys.argv) > 1:  # words that a trace's name must hold
        jobs = [job for job in jobs if all(word in job[0] for word in sys.argv[1:])]
    passed = failed = 0
    rows = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for row in pool.map(row_of, jobs):
            rows.append(row)
            aims = missed(row)
            bad = not row["same"] or (row["family"] in MUST and "throttled" in aims) or "step" in aims
            failed += bad
            passed += not bad
            print(f"{'FAIL' if bad else 'ok  '}  {row['name']}: throttled {row['throttled']:.4%}, "
                  f"hours {row['hours']:.2f}, actions {row['actions']:.2f}, short {row['short']:.0f} s"
                  + (f"; missed: {', '.join(aims)}" if aims else ""), flush=True)
    if len(sys.argv) == 1:
        write(rows, HERE / "RESULTS.md")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
