"""Load traces that no constant of the planner was chosen for, as CSV. Each family is one way in which
load moves; a trace is a family, a size in shards, a sampling interval and a seed. `families()` yields
(name, family, csv). Used by suite.py; `python3 traces.py DIR` writes all of them.
"""
import math
import pathlib
import random
import sys

MIB = 1 << 20
HOUR, DAY = 3600, 86400
RECORD = 1100  # bytes: bytes bind, not records


def day(t):
    return 0.5 - 0.5 * math.cos(2 * math.pi * t / DAY)


class Trace:
    """Demand in shards by sample."""

    def __init__(self, step, seconds, level, noise=0.0, correlation=0.0, seed=0, hot=None):
        self.step, self.hot = step, hot
        dice = random.Random(seed)
        drift, fresh = 0.0, math.sqrt(1 - correlation * correlation)
        self.demand = []
        for i in range(int(seconds / step)):
            drift = correlation * drift + fresh * dice.gauss(0, 1)
            self.demand.append(max(0.0, level(i * step) * max(0.05, 1 + noise * drift)))

    def csv(self):
        hot = ",hot_key_share" if self.hot else ""
        lines = [f"time_s,bytes_per_s,records_per_s{hot}"]
        for i, shards in enumerate(self.demand):
            rate = shards * MIB
            share = f",{self.hot(i * self.step):.4f}" if self.hot else ""
            lines.append(f"{i * self.step:g},{rate:.0f},{rate / RECORD:.3f}{share}")
        return "\n".join(lines) + "\n"


def pieces(dice, seconds, shortest, longest, levels):
    """A level that jumps: from each time on."""
    out, t = [], 0.0
    while t < seconds:
        out.append((t, dice.choice(levels) if isinstance(levels, list) else dice.uniform(*levels)))
        t += dice.uniform(shortest, longest)

    def level(t):
        low, high = 0, len(out)
        while high - low > 1:
            middle = (low + high) // 2
            if out[middle][0] <= t:
                low = middle
            else:
                high = middle
        return out[low][1]
    return level


def bursts(dice, seconds, base, height, shortest, longest, gap):
    spans, t = [], dice.expovariate(1 / gap)
    while t < seconds:
        length = dice.uniform(shortest, longest)
        spans.append((t, t + length, height * dice.uniform(0.4, 1)))
        t += length + dice.expovariate(1 / gap)

    def level(t):
        low, high = 0, len(spans)
        while low < high:
            middle = (low + high) // 2
            if spans[middle][0] <= t:
                low = middle + 1
            else:
                high = middle
        return base + (spans[low - 1][2] if low and t < spans[low - 1][1] else 0)
    return level


def ramps(dice, seconds, low, high):
    knots, t = [(0.0, low)], 0.0
    while t < seconds:
        t += dice.uniform(900, 7200)
        knots.append((t, dice.uniform(low, high)))

    def level(t):
        for (a, x), (b, y) in zip(knots, knots[1:]):
            if t < b:
                return x + (y - x) * (t - a) / (b - a)
        return knots[-1][1]
    return level


def crowds(dice, seconds, base, height):
    all_ = []
    t = dice.uniform(1800, 7200)
    while t < seconds:
        all_.append((t, dice.uniform(30, 300), dice.uniform(900, 3600), height * dice.uniform(0.4, 1)))
        t += dice.uniform(3 * HOUR, 6 * HOUR)

    def level(t):
        return base + sum(h * min(1, (t - b) / rise) * math.exp(-max(0, t - b - rise) / decay)
                          for b, rise, decay, h in all_ if t >= b)
    return level


def walk(dice, seconds, step, start, per_hour):
    """A random walk of the logarithm, drawn back to the start over six hours."""
    values, x = [], 0.0
    for _ in range(int(seconds / step) + 1):
        values.append(start * math.exp(x))
        x += dice.gauss(0, per_hour * math.sqrt(step / HOUR)) - x * step / (6 * HOUR)
    return lambda t: values[int(t / step)]


def self_similar(dice, seconds, step, mean, sources=40):
    """Sources that are on and off for Pareto times: bursts on every scale."""
    count = int(seconds / step) + 1
    load = [0.0] * (count + 1)
    for _ in range(sources):
        t, on = -dice.uniform(0, HOUR), dice.random() < 0.5
        while t < seconds:
            length = min(20 * dice.paretovariate(1.4), 4 * HOUR)
            if on:
                a, b = max(0, int(t / step)), max(0, int((t + length) / step))
                if a < count:
                    load[a] += 1
                    load[min(b, count)] -= 1
            t, on = t + length, not on
    total, out = 0.0, []
    for change in load[:count]:
        total += change
        out.append(mean * total / (sources / 2))
    return lambda t: out[int(t / step)]


def poisson(dice, step, level):
    """Records of 1100 bytes that come by chance at that rate, as counts."""
    def at(t):
        expected = level(t) * MIB / RECORD * step
        spread = math.sqrt(expected)
        return max(0, round(dice.gauss(expected, spread))) * RECORD / step / MIB
    return at


SIZES = {"small": (0.6, 3), "medium": (4, 16), "large": (20, 80)}


def families():
    def out(family, name, trace):
        return f"{family} {name}", family, trace.csv()

    for size, (low, high) in SIZES.items():
        def daily(t, low=low, high=high):
            return low + (high - low) * day(t)

        for percent in (2, 5, 10, 20):
            yield out("daily", f"{size}, noise {percent} %, 10 s",
                      Trace(10, DAY, daily, percent / 100, 0, percent))
        for percent in (5, 10):
            yield out("daily, noise that lasts", f"{size}, {percent} %, 10 s",
                      Trace(10, DAY, daily, percent / 100, 0.9, percent))
        for step in (1, 5, 60, 300, 3600):
            seconds = 4 * HOUR if step == 1 else DAY if step < 300 else 5 * DAY
            yield out("sampling", f"{size}, daily, noise 3 %, {step} s",
                      Trace(step, seconds, (lambda t, d=daily: d(t + 4 * HOUR)), 0.03, 0, step))

        def weekly(t, d=daily, low=low):
            weekend = int(t / DAY) % 7 >= 5
            return low + (d(t) - low) * (0.35 if weekend else 1)
        yield out("weekly", f"{size}, 5 %, 300 s", Trace(300, 14 * DAY, weekly, 0.05, 0.5, 1))
        for seed in (1, 2):
            dice = random.Random(seed)
            yield out("steps", f"{size}, half an hour to two, {seed}",
                      Trace(10, 12 * HOUR, pieces(dice, 12 * HOUR, 1800, 7200, (low, high)), 0.02, 0, seed))
        yield out("step of 4", f"{size}, up and down",
                  Trace(1, 2 * HOUR, lambda t, h=high: h if 2400 <= t < 4800 else h / 4))
        dice = random.Random(3)
        yield out("bursts of seconds", f"{size}, 5-60 s, about every 20 min",
                  Trace(1, 6 * HOUR, bursts(dice, 6 * HOUR, low, high - low, 5, 60, 1200), 0.02, 0, 3))
        yield out("bursts of minutes", f"{size}, 1-15 min, about every hour",
                  Trace(5, 12 * HOUR, bursts(dice, 12 * HOUR, low, high - low, 60, 900, 3600), 0.02, 0, 4))
        yield out("ramps", size, Trace(10, 12 * HOUR, ramps(dice, 12 * HOUR, low, high), 0.02, 0, 5))
        yield out("flash crowds", size,
                  Trace(5, 12 * HOUR, crowds(dice, 12 * HOUR, low, high - low), 0.03, 0, 6))
        yield out("sawtooth", f"{size}, an hour",
                  Trace(10, 8 * HOUR, lambda t, l=low, h=high: l + (h - l) * (t % HOUR) / HOUR, 0.02, 0, 7))
        for period in (300, 1200, 7200):
            yield out("square", f"{size}, {period} s",
                      Trace(5, 6 * HOUR,
                            lambda t, l=low, h=high, p=period: h if t % p >= p / 2 else l, 0.02, 0, 8))
        yield out("random walk", size, Trace(10, DAY, walk(dice, DAY, 10, math.sqrt(low * high), 0.35),
                                             0.02, 0, 9))
        yield out("self-similar", size, Trace(5, 8 * HOUR, self_similar(dice, 8 * HOUR, 5, high / 2)))
        yield out("hot key", f"{size}, up to 30 %",
                  Trace(10, 12 * HOUR, daily, 0.03, 0, 10, hot=lambda t: 0.3 * day(2 * t)))
        yield out("flat noise", f"{size}, 10 %, 10 s",
                  Trace(10, 6 * HOUR, lambda t, h=high: h * 0.6, 0.10, 0, 11))
        yield out("flat noise", f"{size}, 10 % that lasts, 10 s",
                  Trace(10, 6 * HOUR, lambda t, h=high: h * 0.6, 0.10, 0.8, 12))
    dice = random.Random(20)
    for level in (0.15, 0.85, 0.99, 1.3):
        yield out("near one shard", f"{level} shards, counts by chance, 1 s",
                  Trace(1, 6 * HOUR, poisson(dice, 1, lambda t, l=level: l)))
    yield out("near one shard", "0.05-1.6, daily, 60 s, noise 5 %",
              Trace(60, 2 * DAY, lambda t: 0.05 + 1.55 * day(t), 0.05, 0, 21))
    yield out("idle", "nothing, then 2 shards for an hour, 60 s",
              Trace(60, 12 * HOUR, lambda t: 2 if 5 * HOUR <= t < 6 * HOUR else 0))


def write_all(folder, some):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, _, text) in enumerate(some):
        (folder / f"{number:03d}.csv").write_text(text)
        (folder / f"{number:03d}.name").write_text(name)


if __name__ == "__main__":
    write_all(sys.argv[1], families())
