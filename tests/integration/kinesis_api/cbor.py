"""As much of CBOR as the Kinesis API uses: definite lengths out, both kinds in."""
import struct


class Time(int):
    """Unix milliseconds, which JSON and CBOR write differently."""


def head(major, value):
    for bits, size in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if bits == 24 and value < 24:
            return bytes([major << 5 | value])
        if value < 1 << (8 * struct.calcsize(size)):
            return bytes([major << 5 | bits]) + struct.pack(size, value)
    return bytes([major << 5 | 27]) + struct.pack(">Q", (1 << 64) - 1)


def dumps(value):
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, Time):
        return b"\xc1" + dumps(int(value))
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return head(3, len(text)) + text
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(dumps, value))
    return head(5, len(value)) + b"".join(dumps(k) + dumps(v) for k, v in value.items())


def loads(data):
    value, at = read(data, 0)
    assert at == len(data), "bytes behind the value"
    return value


def read(data, at):
    major, low = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        if low == 27:
            return struct.unpack_from(">d", data, at)[0], at + 8
        return {20: False, 21: True, 22: None}[low], at
    if low == 31:
        return read_until_break(major, data, at)
    if low >= 24:
        size = 1 << (low - 24)
        low = int.from_bytes(data[at:at + size], "big")
        at += size
    if major == 0:
        return low, at
    if major == 1:
        return -1 - low, at
    if major in (2, 3):
        part = data[at:at + low]
        return (part if major == 2 else part.decode()), at + low
    if major == 6:
        value, at = read(data, at)
        return Time(value), at
    items = []
    for _ in range(low * (major - 3)):
        value, at = read(data, at)
        items.append(value)
    return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at


def read_until_break(major, data, at):
    items = []
    while data[at] != 0xff:
        value, at = read(data, at)
        items.append(value)
    if major == 2:
        return b"".join(items), at + 1
    if major == 3:
        return "".join(items), at + 1
    return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at + 1
