# shellcheck shell=bash
# The parts of scripts/run, in the order in which it uses them. Sourced after common.sh.

RUN_STATE=$ROWCREW_ROOT/build/run
BIN=$ROWCREW_ROOT/build/release/bin
readonly START_LIMIT_S=30 SAMPLES_LIMIT_S=60

started_pg=no private_db=no tail_pid='' key_name=''
declare -A program_pids=()
declare -a sample_ids=()

# bring_up_database reset: ROWCREW_DATABASE_URL is set and its server answers afterwards.
bring_up_database() {
  local private_pg=$ROWCREW_ROOT/scripts/private-pg.sh
  if [[ -n ${ROWCREW_DATABASE_URL-} ]]; then
    say "using the PostgreSQL of ROWCREW_DATABASE_URL"
    return 0
  fi
  say "starting a private PostgreSQL"
  # shellcheck disable=SC2034 # read by scripts/run
  private_db=yes
  [[ $1 == no ]] || "$private_pg" reset run
  if ! "$private_pg" status run >/dev/null; then
    started_pg=yes
    "$private_pg" start run 8>&-
  fi
  ROWCREW_DATABASE_URL=$("$private_pg" url run)
  export ROWCREW_DATABASE_URL
}

write_ingest_config() {
  cat >"$RUN_STATE/ingest.yaml" <<YAML
ingest:
  listen: 127.0.0.1:0   # any free port
log:
  format: logfmt
YAML
}

# write_node_config ingest_url
write_node_config() {
  cat >"$RUN_STATE/node.yaml" <<YAML
node:
  name: demo
log:
  format: logfmt
queues:
  default: 8
egress:
  allow: ["${1#http://}"]   # loopback is refused otherwise
kinds:
  command:
    allow:
      hello:
        argv: [/bin/echo, "hello {name}"]
        args:
          name: "[a-z]+"
        timeout: 10s
  http:
    allow:
      health:
        method: GET
        url: $1/healthz
YAML
}

program_pid() { printf '%s' "${program_pids[$1]}"; }

# start_program binary name event: in the background, its log in NAME.log; returns at `event`.
start_program() {
  local log=$RUN_STATE/$2.log deadline=$((SECONDS + START_LIMIT_S))
  : >"$log"
  # A session of its own: Ctrl-C must reach this script alone, which then stops them in order.
  setsid "$BIN/$1" --config "$RUN_STATE/$2.yaml" >"$log" 2>&1 8>&- &
  program_pids[$2]=$!
  until grep -q "event=$3" "$log"; do
    kill -0 "${program_pids[$2]}" 2>/dev/null || { show_tail "$log"; die "$1: ended while starting"; }
    ((SECONDS < deadline)) || { show_tail "$log"; die "$1: not ready within $START_LIMIT_S s"; }
    sleep 0.05
  done
}

# listening_url log: http://127.0.0.1:PORT, from the line that says ingest.ready.
listening_url() {
  local port
  port=$(sed -n 's/.*event=ingest\.ready.*[ :=]port=\([0-9]\{1,5\}\).*/\1/p' "$1" | head -n 1)
  [[ -n $port ]] || { show_tail "$1"; die "rowcrew-ingest: expected port=… in the line event=ingest.ready"; }
  printf 'http://127.0.0.1:%s' "$port"
}

psql_quietly() { psql -XAtq -v ON_ERROR_STOP=1 "$ROWCREW_DATABASE_URL" "$@"; }

# create_key: an API key for this run in RUN_STATE/api-key; stop_all revokes it.
create_key() {
  key_name=demo-$(date +%s)-$$
  (umask 077 && "$BIN/rowcrew" key create --name "$key_name" --job-types http >"$RUN_STATE/api-key") \
    2>"$RUN_STATE/key.log" || { show_tail "$RUN_STATE/key.log"; die "API key: rowcrew key create failed"; }
}

# enqueue_samples ingest_url
enqueue_samples() {
  local name answer
  for name in world moon; do
    sample_ids+=("$(psql_quietly -c "INSERT INTO rowcrew.job_queue (job_type, payload)
      VALUES ('command', '{\"entry\": \"hello\", \"args\": {\"name\": \"$name\"}}') RETURNING id")")
  done
  note "SQL: 2 command jobs"

  create_key
  for name in first repeated; do # one request sent twice: the idempotency key makes it one job
    answer=$(printf 'header = "Authorization: Bearer %s"\n' "$(cat "$RUN_STATE/api-key")" |
      curl -sS --fail-with-body --max-time 10 -K - -H 'Content-Type: application/json' \
        -H "Idempotency-Key: $key_name" -d '{"job_type": "http", "payload": {"entry": "health"}}' \
        "$1/v1/jobs") || die "curl: POST $1/v1/jobs answered: $answer"
    note "curl, $name: $answer"
  done
  sample_ids+=("$(sed -n 's/.*"id" *: *"\([0-9a-f-]\{36\}\)".*/\1/p' <<<"$answer")")
  [[ -n ${sample_ids[-1]} ]] || die "ingest: expected an \"id\" in the answer, found: $answer"
}

# wait_for_samples: returns when all are completed; fails at the first that will not be, or late.
wait_for_samples() {
  local list states deadline=$((SECONDS + SAMPLES_LIMIT_S))
  list=$(printf "'%s'," "${sample_ids[@]}")
  say "waiting for ${#sample_ids[@]} sample jobs"
  while :; do
    states=$(psql_quietly -F ' ' -c "SELECT status, id, coalesce(error_message, '')
      FROM rowcrew.job_queue WHERE id IN (${list%,}) ORDER BY id")
    [[ $(grep -c '^completed ' <<<"$states") -lt ${#sample_ids[@]} ]] || break
    if grep -qE '^(failed|cancelled) ' <<<"$states" || ((SECONDS >= deadline)); then
      show_tail "$RUN_STATE/node.log"
      printf '%s\n' "$states" | sed 's/^/    /' >&2
      die "sample jobs: expected ${#sample_ids[@]} completed within $SAMPLES_LIMIT_S s"
    fi
    sleep 0.1
  done
  printf '%s\n' "$states" | sed 's/ *$//; s/^/    /'
}

# stop_all: node first, so that it can hand back what runs; then the ingest, then the database.
stop_all() {
  local status=$? name
  trap '' INT TERM
  [[ ${#program_pids[@]} -eq 0 ]] || say "stopping"
  if [[ -n $key_name ]]; then
    "$BIN/rowcrew" key revoke "$key_name" >>"$RUN_STATE/key.log" 2>&1 || true
    rm -f "$RUN_STATE/api-key"
  fi
  for name in node ingest; do
    [[ -n ${program_pids[$name]-} ]] || continue
    kill -TERM "${program_pids[$name]}" 2>/dev/null || true
    wait "${program_pids[$name]}" || { note "$name: ended with status $?"; [[ $status -ne 0 ]] || status=1; }
  done
  # A moment for the last lines to be shown.
  [[ -z $tail_pid ]] || { sleep 0.3; kill "$tail_pid" 2>/dev/null || true; }
  [[ $started_pg == no ]] || "$ROWCREW_ROOT/scripts/private-pg.sh" stop run
  exit "$status"
}
