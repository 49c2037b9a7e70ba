#!/usr/bin/env bash
# expect_red.sh PROGRAM CASE: succeeds when exactly that test runs and fails by an assertion.
set -euo pipefail
output=$("$1" --test-case="${2//,/\\,}" 2>&1) && { printf '%s\n' "$output"; echo "green: the suite does not notice"; exit 1; }
printf '%s\n' "$output"
grep -Eq '\| +0 passed \| +1 failed' <<<"$output" || { echo "expected one failed test, found something else"; exit 1; }
# A test that throws before it has asserted anything (no server, no schema) is red as well, and tells nothing.
grep -Eq 'assertions: .*\| +[1-9][0-9]* failed' <<<"$output" || { echo "expected a failed assertion, found none"; exit 1; }
echo "red, as it must be: $2"
