"""Runs the tests of a file a few at a time: where each has a database and nodes of its own, and mostly waits."""
import concurrent.futures
import sys
import threading
import time
import unittest

AT_ONCE = 6


def _flat(suite):
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from _flat(part)
        else:
            yield part


def main(at_once=AT_ONCE):
    loader = unittest.TestLoader()
    module = sys.modules["__main__"]
    names = sys.argv[1:]
    tests = list(_flat(loader.loadTestsFromNames(names, module) if names else loader.loadTestsFromModule(module)))
    lock, began = threading.Lock(), time.monotonic()

    def run(test):
        result, start = unittest.TestResult(), time.monotonic()
        test.run(result)
        with lock:
            print(f"{test.id()} ... {'ok' if result.wasSuccessful() else 'FAILED'} ({time.monotonic() - start:.1f} s)", flush=True)
            for _, trouble in result.failures + result.errors:
                print(trouble, flush=True)
        return result.wasSuccessful()

    with concurrent.futures.ThreadPoolExecutor(at_once) as lanes:
        good = list(lanes.map(run, tests))
    print(f"{sum(good)} of {len(good)} ok in {time.monotonic() - began:.1f} s", flush=True)
    sys.exit(0 if good and all(good) else 1)
