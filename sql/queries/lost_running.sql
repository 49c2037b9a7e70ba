-- Which of the jobs that this node runs are no longer its own (set to pending or cancelled by hand,
-- deleted, rescued)? $1 ids uuid[]  $2 tokens bigint[]
SELECT u.id, u.token, coalesce(q.status, 'deleted') FROM unnest($1::uuid[], $2::bigint[]) AS u (id, token)
LEFT JOIN {table} q ON q.id = ANY (ARRAY[u.id])
WHERE q.id IS NULL OR q.claim_token IS DISTINCT FROM u.token OR q.status <> 'processing'
