#!/usr/bin/python3
"""Runs the interoperability tests: black box, against the executable named by CERALACCA.

python3 Tests/Interop/run.py [-k PATTERN] [--jobs N] [--long] [--list] [--seed N] [--keep]
"""

import argparse
import collections
import os
import sys
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Interoperability tests of the Ceralacca gateway.")
    parser.add_argument("-k", dest="patterns", action="append", default=[], help="only tests whose name holds this (several times: any)")
    parser.add_argument("--long", action="store_true", help="the long loop: 200 kills instead of 12")
    parser.add_argument("--rounds", type=int, help="kills in the loop, instead of 12 or 200")
    parser.add_argument("--list", action="store_true", help="print the tests and stop")
    parser.add_argument("--seed", type=int, help="the seed of everything random, to repeat a run")
    parser.add_argument("--keep", action="store_true", help="leave the folders of the run")
    parser.add_argument("--jobs", type=int, default=1, help="so many runners beside each other; tests that look at times run alone, last")
    parser.add_argument("--module", help="only the tests of this module, such as test_wire")
    parser.add_argument("--failfast", action="store_true", help="stop at the first failure")
    return parser.parse_args()


def every(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from every(item)
        else:
            yield item


class Result(unittest.TestResult):
    """One line for each test, with its time; failures in full at once, so that a run that hangs later has said them."""

    def __init__(self, total: int):
        super().__init__()
        self.total, self.passed = total, 0
        # A class that cannot be set up fails before its first test begins.
        self._began = time.monotonic()

    def startTest(self, test):
        super().startTest(test)
        self._began = time.monotonic()
        print(f"[{self.testsRun}/{self.total}] {test.id()}", flush=True)

    def _say(self, word: str, detail: str = "") -> None:
        print(f"    {word} ({time.monotonic() - self._began:.1f} s)" + (f"\n{detail}" if detail else ""), flush=True)

    def addSuccess(self, test):
        self.passed += 1
        self._say("ok")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._say("FAILED", self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self._say("FAILED (error)", self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            print(f"    FAILED {subtest.id()}\n{self._exc_info_to_string(err, test)}", flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._say(f"skipped: {reason}")


def main() -> int:
    given = arguments()
    if given.long:
        os.environ["INTEROP_LONG"] = "1"
    if given.rounds:
        os.environ["INTEROP_ROUNDS"] = str(given.rounds)
    if given.seed is not None:
        os.environ["INTEROP_SEED"] = str(given.seed)
    if given.keep:
        os.environ["INTEROP_KEEP"] = "1"
    sys.path.insert(0, str(HERE))
    from interop import base, ownroot

    ownroot.enter()
    os.environ["INTEROP_SEED"] = str(base.SEED)
    tests = list(every(unittest.defaultTestLoader.discover(str(HERE), pattern="test_*.py", top_level_dir=str(HERE))))
    # A module that imports another's class brings its tests a second time.
    tests = list({test.id(): test for test in tests}.values())
    if given.patterns:
        tests = [test for test in tests if any(pattern.lower() in test.id().lower() for pattern in given.patterns)]
    if given.module:
        tests = [test for test in tests if test.id().split(".")[0] == given.module]
    if given.list:
        print("\n".join(test.id() for test in tests))
        return 0
    print(f"gateway: {base.executable()}\nseed: {base.SEED} (repeat with --seed {base.SEED})", flush=True)
    if not os.access(base.executable(), os.X_OK):
        print("There is no such executable: build it (swift build -c release) or name one in CERALACCA.")
        return 66
    base.raise_file_limit(65536)
    if given.jobs > 1 and not given.failfast:
        from interop import jobs

        options = ["--seed", str(base.SEED)] + [word for pattern in given.patterns for word in ("-k", pattern)]
        modules = collections.Counter(test.id().split(".")[0] for test in tests)
        return jobs.run_beside(Path(__file__), options, modules, given.jobs)
    began = time.monotonic()
    result = Result(len(tests))
    result.failfast = given.failfast
    unittest.TestSuite(tests).run(result)
    failed = len({test_id(test) for test, _ in result.failures + result.errors})
    for test, _ in result.failures + result.errors:
        print(f"FAILED {test.id()}")
    print(f"took {time.monotonic() - began:.0f} s")
    skipped = f", {len(result.skipped)} skipped" if result.skipped else ""
    print(f"{result.passed} passed, {failed} failed{skipped}")
    return 1 if failed or result.passed == 0 else 0


def test_id(test) -> str:
    """A failing subtest counts for its test."""
    return getattr(test, "test_case", test).id()


if __name__ == "__main__":
    sys.exit(main())
