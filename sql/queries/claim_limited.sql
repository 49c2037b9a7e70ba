-- Claims jobs that rules about limits are about, as far as their keys have room; the function is
-- made by rowcrew.make_take(), which tells what it does.
-- $1 tokens bigint[], one per group at most  $2 node_id  $3 epoch  $4 queues text[]  $5 how many of each int[]
-- $6 where the walk over each queue's groups begins text[]  $7 how many groups to begin with int[], 0: no walk
-- $8 whether groups that get permits back go first boolean[]
-- $9 tokens of ended claims bigint[]  $10 those of which some jobs have ended bigint[]  $11 and how many still run int[]
-- Returns columns as claim does, and the token last; then a row per queue with a null id.
SELECT id, job_type, queue, payload, attempts, max_attempts, crashes, run_at_us, priority, app, token
FROM {take}($1::bigint[], $2::bigint, $3::bigint, $4::text[], $5::int[], $6::text[], $7::int[], $8::boolean[], $9::bigint[], $10::bigint[], $11::int[])
