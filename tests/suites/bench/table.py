"""Makes the tables of RESULTS.md of a results file: python3 table.py FILE.jsonl"""
import collections
import json
import statistics
import sys


def spread(values, digits=0):
    """min / median / max"""
    if not values:
        return "–"
    def text(value):
        return f"{value:,.{digits}f}"
    return f"{text(min(values))} / **{text(statistics.median(values))}** / {text(max(values))}"


def field(runs, name):
    return [run[name] for run in runs if run.get(name) is not None]


def quantiles(runs, what, quantile):
    return [run[what][quantile] / 1000 for run in runs if quantile in run.get(what, {})]


def median(values, digits=2):
    return f"{statistics.median(values):,.{digits}f}" if values else "–"


def table(title, heads, rows):
    if not rows:
        return
    print(f"\n### {title}\n")
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")


def ratio(groups, name, row):
    kafka, sluice = field(groups[row, "kafka"], name), field(groups[row, "sluice"], name)
    if not kafka or not sluice or not statistics.median(kafka):
        return "–"
    return f"{statistics.median(sluice) / statistics.median(kafka):.2f}"


def main():
    groups, order = collections.defaultdict(list), []
    for line in open(sys.argv[1], encoding="utf-8"):
        run = json.loads(line)
        key = run["row"] + "".join(f" {run[k]}" for k in ("partitions", "producers") if k in run)
        if key not in order:
            order.append(key)
        groups[key, run["system"]].append(run)
    of = lambda *names: [r for r in order if r.split()[0].startswith(names)]
    both = [(row, system) for row in order for system in ("kafka", "nats", "sluice") if groups[row, system]]

    table("Throughput (produce: acks=all; consume: what was just written)", ["row", "system", "runs", "records/s (min / median / max)", "ratio",
                                   "broker CPU s per million", "ratio", "generator CPU s", "other load, cores",
                                   "peak RSS MiB"],
          [[row, system, len(runs), spread(field(runs, "per_s")),
            ratio(groups, "per_s", row) if system == "sluice" else "",
            median(field(runs, "broker_cpu_s_per_million")),
            ratio(groups, "broker_cpu_s_per_million", row) if system == "sluice" else "",
            median(field(runs, "generator_cpu_s")), median(field(runs, "others_cores")),
            median(field(runs, "peak_rss_mib"), 0)]
           for row, system in both if row in of("rf", "java", "producer", "consume") for runs in [groups[row, system]]])
    table("Latency, ms, open loop, 1 KiB", ["row", "system", "runs", "end to end p50", "p99", "p99.9",
                                            "acknowledged p50", "p99", "broker CPU s", "other load, cores"],
          [[row, system, len(runs), *[spread(quantiles(runs, "end_to_end_us", q), 2) for q in ("p50", "p99", "p999")],
            *[median(quantiles(runs, "ack_us", q)) for q in ("p50", "p99")], median(field(runs, "broker_cpu_s")),
            median(field(runs, "others_cores"))]
           for row, system in both if row in of("latency", "catch-up", "shard-growth") for runs in [groups[row, system]]])
    table("5,000 shards in five streams at replication 3", ["system", "runs", "answered s", "all have leaders s", "each written once s",
                                            "broker CPU s", "idle cores a broker", "RSS MiB of three", "failed"],
          [[system, len(runs), *[spread(field(runs, n), 2) for n in ("answered_s", "led_s", "written_s")],
            median(field(runs, "broker_cpu_s"), 1), spread(field(runs, "idle_cores_per_broker"), 4),
            median(field(runs, "rss_mib"), 0), sum(field(runs, "failed"))]
           for row, system in both if row in of("5000") for runs in [groups[row, system]]])
    table("Restart on old data, until every broker is ready", ["system", "brokers", "runs", "s", "RSS MiB"],
          [[system, n, len(runs), spread(field(runs, "seconds"), 2), median(field(runs, "rss_mib"), 0)]
           for row, system in both if row in of("restart") for n in (1, 3)
           for runs in [[r for r in groups[row, system] if r["brokers"] == n]] if runs])
    table("Three brokers idle, fresh", ["system", "runs", "cores", "RSS MiB"],
          [[system, len(runs), spread(field(runs, "cores"), 4), median(field(runs, "rss_mib"), 0)]
           for row, system in both if row in of("idle") for runs in [groups[row, system]]])


if __name__ == "__main__":
    main()
