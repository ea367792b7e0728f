#!/usr/bin/env python3
"""Packs a folder into a one-layer image, as `ctr images import`, `docker load` and `podman load` take it.

    pack.py FOLDER OUT.tar --name REPOSITORY [--tag TAG]... [--user UID] [--entrypoint PROGRAM] [--cmd WORD... (last)]

The same folder always gives the same bytes: no times, owners or orders of the machine go in. Prints the image's full
name, whose tag ends with the first digits of its digest; TAGs are further names of it.
"""
import argparse
import hashlib
import io
import json
import os
import platform
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def entries(folder):
    """Every path below folder, parents first, in an order that doesn't depend on the file system."""
    for at, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(folders + files):
            path = os.path.join(at, name)
            yield path, os.path.relpath(path, folder)


def layer_of(folder):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as layer:
        for path, name in sorted(entries(folder), key=lambda entry: entry[1]):
            info = layer.gettarinfo(path, name)
            info.uid = info.gid = info.mtime = 0
            info.uname = info.gname = ""
            if info.isfile() or info.islnk():
                info.mode = 0o755 if info.mode & 0o100 else 0o644
                with open(path, "rb") as file:
                    info.type, info.linkname, info.size = tarfile.REGTYPE, "", os.path.getsize(path)
                    layer.addfile(info, file)
            else:
                if info.isdir():
                    info.mode = 0o1777 if info.mode & 0o1000 else 0o755
                layer.addfile(info)
    return buffer.getvalue()


def config_of(layer, user, entrypoint, command):
    runtime = {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "WorkingDir": "/"}
    if user:
        runtime["User"] = user
    if entrypoint:
        runtime["Entrypoint"] = [entrypoint]
    if command:
        runtime["Cmd"] = command
    return json.dumps({
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": runtime,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }, sort_keys=True).encode()


def write_image(out, layer, config, names):
    digest = hashlib.sha256(config).hexdigest()
    manifest = json.dumps([{"Config": digest + ".json", "RepoTags": names, "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(out + ".new", "w", format=tarfile.GNU_FORMAT) as image:
        for name, data in ((digest + ".json", config), ("layer.tar", layer), ("manifest.json", manifest)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            image.addfile(info, io.BytesIO(data))
    os.replace(out + ".new", out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--name", required=True)
    parser.add_argument("--tag", action="append", default=[])
    parser.add_argument("--user")
    parser.add_argument("--entrypoint")
    parser.add_argument("--cmd", nargs=argparse.REMAINDER, default=[])
    options = parser.parse_args()
    layer = layer_of(options.folder)
    config = config_of(layer, options.user, options.entrypoint, options.cmd)
    full = f"{options.name}:dev-{hashlib.sha256(config).hexdigest()[:12]}"
    write_image(options.out, layer, config, [full] + [f"{options.name}:{tag}" for tag in options.tag])
    print(full)


main()
