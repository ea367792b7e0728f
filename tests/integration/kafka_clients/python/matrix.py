"""What the Python programs share: the records that everybody produces, and how they are printed."""
import os
import sys

T0 = int(os.environ["MATRIX_T0"])


def key(i):
    return None if i % 7 == 0 and i % 11 != 10 else f"k{i}".encode()


def value(i):
    return None if i % 11 == 10 else f"v{i}-{'x' * (i * 13 % 200)}".encode()


def headers(i):
    return [("h", str(i).encode()), ("e", b"")]


def batches(codecs, count):
    """(codec, numbers of its records)"""
    for at, codec in enumerate(codecs.split(",")):
        yield codec, range(at * count, (at + 1) * count)


def show(partition, offset, timestamp, k, v, h):
    def text(b):
        return "\\N" if b is None else b.decode()
    line = "".join(f"{name}={text(data)};" for name, data in h or [])
    print(partition, offset, timestamp, text(k), text(v), line, sep="\t", flush=True)


def check(holds, what):
    if not holds:
        sys.exit(f"failed: {what}")
