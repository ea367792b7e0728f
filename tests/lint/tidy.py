#!/usr/bin/env python3
"""Rules of the repository that a compiler does not check.

- Clocks, threads, sleeps and chance only in env/posix, in edges that own a library's threads, and
  in tests: everything else takes them from env, so that the simulator drives it.
- No file grows past LINES_MAX; no committed file names a machine's paths; nothing unfinished.
usage: tidy.py [ROOT]
"""
import pathlib
import re
import subprocess
import sys

LINES_MAX = 800
BANNED = re.compile(r"\b(system_clock|steady_clock::now|std::thread\b|std::jthread|sleep_for|"
                    r"random_device|\brand\(\)|usleep|nanosleep)")
# Edges: they own threads or clocks because a library or the process asks for it.
EDGES = ("broker/env/posix/", "broker/base/log.cc", "operator/kube/client/", "operator/kube/cache/",
         "operator/kube/lease/", "operator/kube/task", "operator/runtime/", "operator/app/",
         "operator/certs/", "broker/cli/", "tests/",
         # gRPC's Shutdown takes a deadline by the system's clock.
         "operator/coordinator/session_server.cc")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
MACHINE_PATHS = re.compile(r"/(work|farm|root)/[a-z.]")


def tracked(root):
    out = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others",
                          "--exclude-standard"], check=True, capture_output=True)
    return [p for p in out.stdout.decode().split("\0") if p]


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    problems = []
    for name in tracked(root):
        path = root / name
        if not path.is_file() or path.is_symlink():
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        code = name.endswith((".cc", ".h"))
        lines = text.splitlines()
        if code and len(lines) > LINES_MAX:
            problems.append(f"{name}: {len(lines)} lines, more than {LINES_MAX}")
        test = name.endswith(("_test.cc", "_bench.cc", "_fuzz.cc"))
        for number, line in enumerate(lines, 1):
            where = f"{name}:{number}"
            if code and not test and not name.startswith(EDGES) and BANNED.search(line):
                problems.append(f"{where}: time, threads and chance come from env")
            if name != "tests/lint/tidy.py":
                if UNFINISHED.search(line) and not name.startswith("LICENSE"):
                    problems.append(f"{where}: unfinished")
                if MACHINE_PATHS.search(line):
                    problems.append(f"{where}: a machine's path")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
