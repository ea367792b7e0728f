"""Traces that nobody looked at while the planner was changed: shapes that traces.py does not have, and
its own families with other seeds. suite.py runs them apart. `python3 held_out.py DIR` writes them.
"""
import math
import random
import sys

import traces
from traces import DAY, HOUR, SIZES, Trace, day


def week(low, high):
    """Working days with a dip at noon, weekends at a third."""
    def level(t):
        hour = t % DAY / HOUR
        if int(t / DAY) % 7 >= 5:
            return low + (high - low) * 0.3 * day(t)
        work = math.exp(-((hour - 10.5) / 2) ** 2) + math.exp(-((hour - 15.5) / 2.5) ** 2)
        return low + (high - low) * min(1.0, work)
    return level


def two_periods(low, high):
    return lambda t: low + (high - low) * (0.6 * day(t) + 0.4 * (0.5 - 0.5 * math.cos(2 * math.pi * t / 5400)))


def batches(dice, seconds, step, base, height):
    """Jobs that come by chance, forty an hour, and each add a little for some minutes."""
    load = [base] * int(seconds / step)
    t = dice.expovariate(40 / HOUR)
    while t < seconds:
        size, end = height / 4 * dice.uniform(0.3, 1), t + dice.uniform(120, 600)
        for i in range(int(t / step), min(len(load), int(end / step))):
            load[i] += size
        t += dice.expovariate(40 / HOUR)
    return lambda t: load[int(t / step)]


def deploys(dice, seconds, level):
    """Halves from one moment to the next for a quarter of an hour, three times."""
    at = [dice.uniform(0.1, 0.9) * seconds for _ in range(3)]
    return lambda t: level * (0.5 if any(a <= t < a + 900 for a in at) else 1)


def families():
    def out(name, trace):
        return f"held out: {name}", "held out", trace.csv()

    for size, (low, high) in SIZES.items():
        def daily(t, low=low, high=high):
            return low + (high - low) * day(t)

        yield out(f"week {size}, dip at noon, 4 %, 60 s", Trace(60, 7 * DAY, week(low, high), 0.04, 0.3, 101))
        yield out(f"two periods {size}, 6 %, 10 s", Trace(10, DAY, two_periods(low, high), 0.06, 0, 102))
        dice = random.Random(103)
        yield out(f"batches {size}, 2 %, 10 s",
                  Trace(10, 12 * HOUR, batches(dice, 12 * HOUR, 10, low, high), 0.02, 0, 103))
        dice = random.Random(104)
        yield out(f"deploys {size}, 8 %, 10 s",
                  Trace(10, 12 * HOUR, deploys(dice, 12 * HOUR, high * 0.7), 0.08, 0, 104))
        yield out(f"growth {size}, a month, 5 %, 300 s",
                  Trace(300, 30 * DAY, lambda t, d=daily: d(t) * (0.4 + 0.6 * t / (30 * DAY)), 0.05, 0.5, 105))
        for percent in (7, 12):
            yield out(f"daily {size}, noise {percent} %, 10 s",
                      Trace(10, DAY, daily, percent / 100, 0, 110 + percent))
        yield out(f"flat noise {size}, 10 %, 10 s", Trace(10, 6 * HOUR, lambda t, h=high: h * 0.6, 0.10, 0, 111))
        dice = random.Random(112)
        yield out(f"ramps {size}, 2 %, 10 s", Trace(10, 12 * HOUR, traces.ramps(dice, 12 * HOUR, low, high),
                                                   0.02, 0, 112))
        dice = random.Random(113)
        yield out(f"random walk {size}, 2 %, 10 s",
                  Trace(10, DAY, traces.walk(dice, DAY, 10, math.sqrt(low * high), 0.35), 0.02, 0, 113))
        dice = random.Random(114)
        yield out(f"steps {size}, 2 %, 10 s",
                  Trace(10, 12 * HOUR, traces.pieces(dice, 12 * HOUR, 1800, 7200, (low, high)), 0.02, 0, 114))
        dice = random.Random(115)
        yield out(f"bursts of minutes {size}, 2 %, 5 s",
                  Trace(5, 12 * HOUR, traces.bursts(dice, 12 * HOUR, low, high - low, 60, 900, 3600),
                        0.02, 0, 115))
        dice = random.Random(116)
        yield out(f"flash crowds {size}, 3 %, 5 s",
                  Trace(5, 12 * HOUR, traces.crowds(dice, 12 * HOUR, low, high - low), 0.03, 0, 116))


if __name__ == "__main__":
    traces.write_all(sys.argv[1], families())
