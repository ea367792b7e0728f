#!/usr/bin/env python3
"""Writes what the fuzz targets start from: an empty message of every API and version, a record batch, a
request of either kind of HTTP.   usage: seeds.py FOLDER      makes FOLDER/<target>/
"""
import json
import pathlib
import struct
import sys

KAFKA_API_MAX, KAFKA_VERSION_MAX = 92, 19
KINESIS_OPERATION_MAX = 64
HTTP2_FRAMES = [
    struct.pack(">BHBBI", 0, 0, 4, 0, 0),                           # SETTINGS
    struct.pack(">BHBBI", 0, 6, 1, 5, 1) + b"\x83\x84\x86\x41\x01h",  # HEADERS, ends the stream
    struct.pack(">BHBBI", 0, 8, 6, 0, 0) + bytes(8),                # PING
    struct.pack(">BHBBI", 0, 4, 8, 0, 0) + struct.pack(">I", 99),   # WINDOW_UPDATE
]


def record_batch(count):
    record = bytes([0, 0, 0, 2, ord("k"), 4, ord("v"), ord("w"), 2, 2, ord("h"), 1])
    records = (bytes([2 * len(record)]) + record) * count
    after_crc = struct.pack(">hiqqqhii", 0, count - 1, 0, 0, -1, -1, -1, count) + records
    return struct.pack(">qiibI", 0, 4 + 1 + 4 + len(after_crc), 0, 2, 0) + after_crc


def seeds():
    for key in range(KAFKA_API_MAX):
        for version in range(KAFKA_VERSION_MAX):
            head = struct.pack(">hh", key, version)
            for size in (0, 40):
                yield "kafka_requests_fuzz", head + struct.pack(">ih", 7, -1) + bytes(size)
                yield "kafka_responses_fuzz", head + bytes(size)
    for count in (1, 3):
        yield "kafka_records_fuzz", record_batch(count)
    body = {"StreamName": "s", "ShardId": "shardId-000000000000", "PartitionKey": "k", "Data": "dg==",
            "ShardIteratorType": "LATEST", "ShardIterator": "i", "ShardCount": 1, "Limit": 1,
            "Records": [{"PartitionKey": "k", "Data": "dg=="}]}
    for operation in range(KINESIS_OPERATION_MAX):
        yield "kinesis_codec_fuzz", bytes([operation, 1]) + json.dumps(body).encode()
        yield "kinesis_codec_fuzz", bytes([operation, 0, 0xA0])
    for head in ("Content-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                 "Expect: 100-continue\r\nConnection: close\r\n\r\n"):
        yield "kinesis_http_fuzz", b"\x07" + ("POST / HTTP/1.1\r\nHost: h\r\n" + head).encode()
    yield "kinesis_http_fuzz", b"\xff" + b"".join(HTTP2_FRAMES)


def main():
    folder = pathlib.Path(sys.argv[1])
    for number, (target, content) in enumerate(seeds()):
        (folder / target).mkdir(parents=True, exist_ok=True)
        (folder / target / f"{number:05}").write_bytes(content)


main()
