#!/usr/bin/env python3
"""Checks the dependencies of the crate: licence, origin and least version of each.

Reads `cargo metadata --format-version 1 --all-features` on stdin; `--self-test` shows that each
check can fail. It is not an advisory database: the floors below are the advisories known to us.
"""

import json
import re
import sys

LICENCES = {"Apache-2.0", "BSD-3-Clause", "ISC", "MIT", "Unicode-3.0", "Zlib"}

REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"

# Below these a known defect stands: nothing older may come in, in any of its versions.
FLOORS = {
    "bytes": "1.11.1",
    "crossbeam-epoch": "0.9.20",
    "quinn-proto": "0.11.15",
}


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        print("dependencies: the checks can fail")
        return
    packages = json.load(sys.stdin)["packages"]
    faults = check(packages)
    for fault in faults:
        print(f"dependencies: {fault}", file=sys.stderr)
    if faults:
        sys.exit(1)
    print(f"dependencies: {len(packages) - 1} crates, licences, origins and floors hold")


def check(packages):
    """Every fault of `packages`, as sentences."""
    faults = []
    for package in packages:
        name = f"{package['name']} {package['version']}"
        licence = package.get("license")
        if not licence:
            faults.append(f"{name} states no licence")
        elif not allowed(licence):
            faults.append(f"{name}: licence '{licence}' is not allowed")
        own = package["source"] is None and package["name"] == "hyperty-router"
        if not own and package["source"] != REGISTRY:
            faults.append(f"{name} comes from {package['source'] or 'a path'}, not from crates.io")
        floor = FLOORS.get(package["name"])
        if floor and ordered(package["version"]) < ordered(floor):
            faults.append(f"{name} is below the floor {floor}")
    present = {package["name"] for package in packages}
    for name in sorted(FLOORS.keys() - present):
        faults.append(f"the floor for {name} guards nothing: no such crate in the tree")
    return faults


def ordered(version):
    """A key that orders versions: numbers first, a pre-release below its release."""
    numbers, _, pre = version.partition("+")[0].partition("-")
    return tuple(int(number) for number in numbers.split(".")), pre == ""


def allowed(expression):
    """Whether the SPDX expression can be met from LICENCES; `/` is the old way to write OR."""
    tokens = re.findall(r"[()]|[^\s()/]+|/", expression)
    value, rest = either(tokens)
    return value and not rest


def either(tokens):
    value, tokens = both(tokens)
    while tokens and tokens[0] in ("OR", "/"):
        other, tokens = both(tokens[1:])
        value = value or other
    return value, tokens


def both(tokens):
    value, tokens = term(tokens)
    while tokens and tokens[0] == "AND":
        other, tokens = term(tokens[1:])
        value = value and other
    return value, tokens


def term(tokens):
    if not tokens:
        return False, tokens
    if tokens[0] == "(":
        value, tokens = either(tokens[1:])
        return value, tokens[1:] if tokens[:1] == [")"] else ["unbalanced"]
    name, tokens = tokens[0], tokens[1:]
    if tokens[:1] == ["WITH"]:
        name, tokens = f"{name} WITH {' '.join(tokens[1:2])}", tokens[2:]
    return name in LICENCES, tokens


def self_test():
    for good in ("MIT", "MIT/GPL-3.0", "GPL-3.0 OR (ISC AND MIT)", "A WITH b OR MIT"):
        assert allowed(good), good
    for bad in ("GPL-3.0", "MIT AND GPL-3.0", "", "(MIT", "MIT WITH x", "MIT MIT"):
        assert not allowed(bad), bad
    assert ordered("0.11.9") < ordered("0.11.15") < ordered("1.0.0-rc.1") < ordered("1.0.0")

    def crate(name, version="99.0.0", **more):
        return {"name": name, "version": version, "license": "MIT", "source": REGISTRY, **more}

    sound = [crate(name) for name in FLOORS]
    assert check(sound) == [], check(sound)
    for broken, word in (
        (sound + [crate("a", license=None)], "no licence"),
        (sound + [crate("a", license="GPL-3.0")], "not allowed"),
        (sound + [crate("a", source="git+https://example.org/a")], "not from crates.io"),
        (sound + [crate("a", source=None)], "a path"),
        (sound + [crate("bytes", "1.11.0")], "below the floor"),
        (sound[1:], "guards nothing"),
    ):
        faults = check(broken)
        assert len(faults) == 1 and word in faults[0], (word, faults)


if __name__ == "__main__":
    main()
