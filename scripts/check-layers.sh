#!/usr/bin/env bash
# The rules of the layers that a compiler cannot see. Prints one line per violation and exits 1.
#
# Usage: scripts/check-layers.sh [ROOT]
#
#   * arrows point down: base < pg, net, proc < queue < runtime < ingest, cli < web < programs;
#     pg, net and proc never include each other, queue includes neither net nor proc;
#     schema (the embedded SQL) lies between pg and queue
#   * include/rowcrew includes nothing of src; a kind includes the contract, its own folder and
#     the std, nlohmann, fmt, boost/asio headers, never another kind
#   * libpq only in src/pg, curl and Beast only in src/net,
#     yaml-cpp only in src/base/config*, vips only in workers/generation/image
#   * SQL text only under sql/
#   * no asio::detached, sleep_for, usleep in the product
#   * no file above 450 lines
set -euo pipefail

[[ $# -le 1 && ${1-} != -* ]] || { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"; exit 64; }
cd "${1:-$(dirname "$0")/..}"

mapfile -t sources < <(find include src workers -type f \
  \( -name '*.hpp' -o -name '*.cpp' -o -name '*.h' -o -name '*.c' \) 2>/dev/null | sort)
mapfile -t others < <(find tests sql scripts systemd cmake packaging -type f \
  ! -path 'tests/golden/*' 2>/dev/null | sort)
[[ ${#sources[@]} -gt 0 ]] || { echo "check-layers: no sources in $PWD, expected include, src, workers" >&2; exit 1; }

read -r -d '' rules <<'AWK' || true
function report(sentence) { printf "%s:%d: %s\n", FILENAME, FNR, sentence; bad++ }

function within(word, list) { return index(" " list " ", " " word " ") > 0 }

# The code of a line: comments gone, literals kept. Sets `bare` to the code without literals.
function strip(text,    out, at, c, quoted) {
  out = ""; bare = ""; quoted = 0
  for (at = 1; at <= length(text); at++) {
    c = substr(text, at, 1)
    if (in_comment) {
      if (substr(text, at, 2) == "*/") { in_comment = 0; at++ }
      continue
    }
    if (quoted && c == "\\") { out = out substr(text, at, 2); at++; continue }
    if (c == "\"" && substr(text, at - 1, 3) != "'\"'") quoted = !quoted
    if (!quoted && substr(text, at, 2) == "//") break
    if (!quoted && substr(text, at, 2) == "/*") { in_comment = 1; at++; continue }
    out = out c
    if (!quoted) bare = bare c
  }
  return out
}

# Only these places may include that library.
function check_library(target) {
  if (target ~ /^(libpq|postgresql\/)/ && FILENAME !~ /^src\/pg\//)
    report("includes <" target ">, allowed only in src/pg")
  if (target ~ /^(curl\/|boost\/beast)/ && FILENAME !~ /^src\/net\//)
    report("includes <" target ">, allowed only in src/net")
  if (target ~ /^yaml-cpp\// && FILENAME !~ /^src\/base\/config[^\/]*$/)
    report("includes <" target ">, allowed only in src/base/config*")
  if (target ~ /^vips\// && FILENAME !~ /^workers\/generation\/image\//)
    report("includes <" target ">, allowed only in workers/generation/image")
}

function check_worker(target, quoted,    first, own) {
  if (owner == "") {  # workers/registry.cpp and its like know every kind, by name
    if (quoted && target ~ /^(base|pg|net|proc|schema|queue|runtime|ingest|cli|web|programs)\//)
      report("includes \"" target "\", a worker includes nothing of src")
    return
  }
  own = owner
  first = target; sub(/\/.*/, "", first)
  if (target !~ /\// ) return                        # std, POSIX, or a neighbour in this folder
  if (first == "workers") { sub(/^workers\//, "", target); first = target; sub(/\/.*/, "", first) }
  if (first == own || first == "sql") return         # its own folder, its generated statements
  if (!quoted && target ~ /^(rowcrew|nlohmann|fmt|boost\/asio|boost\/system|date|sys)\//) return
  if (FILENAME ~ /_test\.cpp$/ && first ~ /^(support|doctest)$/) return
  if (FILENAME ~ /^workers\/(generation\/image|drive_poll\/folder)\// && first ~ /^(vips|openssl)$/) return  # child programs
  if (!quoted && own == "email" && first == "kainjow") return  # Mustache, a header alone
  report("includes " target ", kind " own " may include <rowcrew/...>, std and its own folder only")
}

function check_source(target,    first) {
  first = target; sub(/\/.*/, "", first)
  if (first == layer || !(first in allowed)) {
    if (first == "workers" && layer != "programs") report("includes \"" target "\", only programs know the workers")
    return
  }
  if (!within(first, allowed[layer])) report("includes \"" target "\", layer " layer " may include: " (allowed[layer] == "" ? "itself only" : layer " " allowed[layer]))
}

BEGIN {
  allowed["base"] = ""
  allowed["pg"] = allowed["net"] = allowed["proc"] = "base"
  allowed["schema"] = "base pg"
  allowed["queue"] = "base pg schema"
  allowed["runtime"] = "base pg schema net proc queue"
  allowed["ingest"] = allowed["cli"] = "base pg schema net proc queue runtime"
  allowed["web"] = "base pg schema net proc queue runtime cli"  # it shows what the commands print
  allowed["programs"] = "base pg schema net proc queue runtime ingest cli web"
}

FNR == 1 {
  in_comment = in_raw = 0
  split(FILENAME, part, "/")
  tree = part[1]; layer = (tree == "src") ? part[2] : ""
  owner = (tree == "workers" && part[3] != "") ? part[2] : ""
  if (layer ~ /\./) layer = "programs"
  if (tree == "src" && !(layer in allowed)) { report("folder src/" layer " is no known layer"); layer = "programs" }
}

# Whether the parentheses after if, while or switch hold a co_await.
function awaits_in_condition(line,   at, depth, c, from) {
  if (!match(line, /(^|[^A-Za-z0-9_])(if|while|switch)[ \t]*\(/)) return 0
  from = RSTART + RLENGTH
  depth = 1
  for (at = from; at <= length(line) && depth > 0; at++) {
    c = substr(line, at, 1)
    if (c == "(") depth++
    if (c == ")") depth--
  }
  return substr(line, from, at - from) ~ /co_await/
}

/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
  target = $0; sub(/^[^<"]*[<"]/, "", target); sub(/[>"].*/, "", target)
  quoted = ($0 ~ /include[ \t]*"/)
  check_library(target)
  if (tree == "workers") check_worker(target, quoted)
  else if (tree == "src") check_source(target)
  else if (quoted) report("includes \"" target "\", the contract includes <rowcrew/...> and nothing of src")
  next
}

{
  code = in_raw ? "\"" $0 : strip($0)
  # A raw string that stays open: its next lines are text, too.
  if (in_raw && index($0, closing)) in_raw = 0
  else if (!in_raw && match(code, /R"[^()" ]*\(/)) {
    closing = ")" substr(code, RSTART + 2, RLENGTH - 3) "\""
    if (!index(substr(code, RSTART + RLENGTH), closing)) in_raw = 1
  }
  if (code ~ /"[^"]*(SELECT[ \t\\]|INSERT INTO|DELETE FROM|UPDATE [a-z_.{}:]+ SET)/ ||
      code ~ /"([^"]*\()?[ \t]*(select .* from|insert into|delete from|update [a-z_.{}:]+ set) / ||
      code ~ /"([^"]*\()?[ \t]*(SELECT|INSERT|UPDATE|DELETE)([ \t\\]|$)/)
    report("holds SQL text, which belongs into sql/")
  # g++ 12 miscompiles both: the frame is left uninitialised, or both branches are evaluated.
  if (awaits_in_condition(bare)) report("awaits inside a condition: name the result first (g++ 12)")
  if (bare ~ /(&&|\|\|)[ \t]*!?co_await|co_await [^;]* \? [^;]* : /) report("awaits inside &&, || or ?: name the parts first (g++ 12)")
  if (bare ~ /(^|[^A-Za-z0-9_])detached([^A-Za-z0-9_]|$)/) report("uses asio::detached: give co_spawn a completion handler that logs")
  if (bare ~ /sleep_for[ \t]*\(|sleep_until[ \t]*\(|[^A-Za-z0-9_]u?sleep[ \t]*\(/) {
    if (bare ~ /this_thread|usleep|::sleep[ \t]*\(/) report("sleeps, which blocks its thread: await the Clock")
  }
}

END { exit bad > 0 }
AWK

status=0
awk "$rules" "${sources[@]}" || status=1
awk 'FNR == 451 { printf "%s:451: longer than 450 lines, split it\n", FILENAME; bad = 1 } END { exit bad }' \
  "${sources[@]}" ${others[@]+"${others[@]}"} || status=1
# What a database of another encoding cannot hold it refuses, in the middle of a migration or of a night.
! LC_ALL=C grep -rn --include='*.sql' '[^ -~	]' sql/migrations sql/queries sql/pg sql/roles | sed 's/:[^:]*$/: not ASCII, expected ASCII/' | grep . || status=1
[[ $status -ne 0 ]] || echo "layers: ${#sources[@]} source files, no violation"
exit "$status"
