#!/usr/bin/env bash
# Searches every state of the models; ends with "N passed, N failed" and 1 if any failed.
#
# A line of the table is: model, what the search must find (sound: nothing; broken: an error), and the
# defines, of which the last of a broken one is the rule that is taken out. See the models.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

table() {
  cat <<'LIST'
gate sound DEATHS=0
gate sound NO_SAVEPOINTS
gate sound PRODUCERS=3 NO_SAVEPOINTS DEATHS=0
gate broken PROBE_BEFORE_LOCK
gate broken SAME_STATEMENT
gate broken TEST_BEFORE_B
gate broken NO_DRAIN
gate broken BOUNDED_PROBE
gate broken ON_GATE_CONNECTION
gate broken TEST_ONCE
lease sound
lease sound CHILD
lease broken TIGHT
lease broken ACK_TIME
lease broken REVIVE
lease broken NO_CAS
lease broken JUDGE_AT_ANSWER
lease broken NO_FENCE
lease broken LATE_START
lease broken CHILD NO_FEED
lease sound LIVENESS
lease broken LIVENESS REAP_ONCE
lease broken LIVENESS NO_RECONCILE
LIST
}

# search line: prints one line; fails when the search does not find what the table says.
search() {
  local model expected defines dir began=$SECONDS errors states verdict=ok
  local -a options=(-DSAFETY) run=()
  read -r model expected defines <<<"$1"
  dir=$(mktemp -d "$work/XXXXXX")
  [[ " $defines " != *" LIVENESS "* ]] || { options=(-DNFAIR=4) run=(-a -f); } # weak fairness
  (
    cd "$dir"
    # shellcheck disable=SC2086 # a list of words
    spin -a ${defines:+-D${defines// / -D}} "$here/$model.pml" >spin.log
    gcc -O1 -w -DVECTORSZ=256 "${options[@]}" -o pan pan.c
    ./pan -m1000000 -w22 "${run[@]}" >pan.log 2>&1
  ) || true
  errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' "$dir/pan.log" 2>/dev/null) || true
  states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$dir/pan.log" 2>/dev/null) || true
  case $expected in
    sound)
      [[ $errors == 0 ]] || verdict=FAILED
      ! grep -Eq 'max search depth|out of memory' "$dir/pan.log" || verdict=FAILED ;;
    broken) # by the property, not by a model that is stuck
      grep -Eq 'pan:1: (assertion violated|acceptance cycle)' "$dir/pan.log" || verdict=FAILED ;;
  esac
  printf '%-6s %-6s %-7s %-40s %s states, %s errors, %s s\n' "$verdict" "$model" "$expected" "${defines:--}" \
    "${states:-no}" "${errors:-unknown}" "$((SECONDS - began))"
  [[ $verdict == ok ]] || { tail -n 20 "$dir"/*.log >&2; return 1; }
}
export -f search
export here work

status=0
table | tr '\n' '\0' | xargs -0 -n 1 -P "$(nproc)" bash -c 'set -euo pipefail; search "$1"' search |
  tee "$work/results" || status=1
failed=$(grep -c ^FAILED "$work/results") || true
passed=$(grep -c ^ok "$work/results") || true
wanted=$(table | wc -l)
((passed + failed == wanted)) || { echo "found $((passed + failed)) results, expected $wanted" >&2; status=1; }
echo "$passed passed, $failed failed"
exit "$status"
