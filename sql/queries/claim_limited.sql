-- Claims jobs that rules about limits are about, as far as their keys have room; the function is
-- made by rowcrew.make_take(), which tells what it does.
-- $1 tokens bigint[], one per group at most  $2 node_id  $3 epoch  $4 queues text[]  $5 how many of each int[]
-- $6 and how many of them find a slot at once int[]
-- $7 where the walk over each queue's groups begins text[]  $8 how many groups to begin with int[], 0: no walk
-- $9 whether groups that get permits back go first boolean[]
-- $10 tokens of ended claims bigint[]  $11 those of which some jobs have ended bigint[]  $12 and how many still run int[]
-- $13 whether to step around jobs whose rows somebody holds, after a claim that met one (55P03)
-- Returns columns as claim does, and the token last; then a row per queue with a null id.
SELECT id, job_type, queue, payload, attempts, max_attempts, crashes, run_at_us, priority, app, token
FROM {take}($1::bigint[], $2::bigint, $3::bigint, $4::text[], $5::int[], $6::int[], $7::text[], $8::int[], $9::boolean[], $10::bigint[], $11::bigint[], $12::int[], $13::boolean)
