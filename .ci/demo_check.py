#!/usr/bin/env python3
"""Checks the last line of `hyperty-router demo --json`: `demo_check.py MESSAGES <output`.

Nothing lost, doubled or out of order, a tenth at least by each path, and the connection seen to go
live, away, and live again. `--self-test` shows that each check can fail.
"""

import json
import sys

PATHS = ("message-node", "p2p")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        print("demo: the checks can fail")
        return
    lines = [line for line in sys.stdin.read().splitlines() if line.strip()]
    if not lines:
        sys.exit("demo: no output")
    try:
        report = json.loads(lines[-1])
    except ValueError as error:
        sys.exit(f"demo: the last line is no JSON ({error}): {lines[-1][:200]}")
    faults = check(report, int(sys.argv[1]))
    for fault in faults:
        print(f"demo: {fault}", file=sys.stderr)
    if faults:
        sys.exit(1)
    print("demo: nothing lost, doubled or out of order, and both paths used")


def check(report, messages):
    """Every fault of the report, as sentences. A member that is missing is a fault too."""
    faults = []
    wanted = {"sent": messages, "delivered": messages, "lost": 0, "duplicated": 0, "reordered": 0}
    for member, number in wanted.items():
        if report.get(member) != number:
            faults.append(f"{member} is {report.get(member)}, not {number}")
    by_path = report.get("by_path") or {}
    for path in PATHS:
        if by_path.get(path, 0) < messages // 10:
            faults.append(f"{path} carried {by_path.get(path)}, less than a tenth of {messages}")
    if sum(by_path.values()) != report.get("delivered"):
        faults.append(f"by_path {by_path} does not add up to delivered {report.get('delivered')}")
    statuses = report.get("statuses") or []
    if not in_order(["live", "disconnected", "live"], statuses):
        faults.append(f"statuses do not go live, disconnected, live: {statuses}")
    return faults


def in_order(wanted, seen):
    """Whether `wanted` occurs in `seen` in this order, other words between allowed."""
    rest = iter(seen)
    return all(word in rest for word in wanted)


def self_test():
    def report(**changed):
        return {
            "sent": 100, "delivered": 100, "lost": 0, "duplicated": 0, "reordered": 0,
            "by_path": {"message-node": 10, "p2p": 90},
            "statuses": ["in-progress", "live", "disconnected", "in-progress", "live"],
            **changed,
        }

    assert check(report(), 100) == []
    for changed in (
        {"lost": 1}, {"duplicated": 1}, {"reordered": 1}, {"lost": None}, {"sent": 99},
        {"by_path": {"message-node": 9, "p2p": 91}}, {"by_path": {"message-node": 91, "p2p": 9}},
        {"by_path": {"message-node": 50, "p2p": 49}},
        {"statuses": ["live"]}, {"statuses": ["live", "live", "disconnected"]},
    ):
        assert len(check(report(**changed), 100)) == 1, changed
    assert check({}, 100), "an empty report passed"


if __name__ == "__main__":
    main()
