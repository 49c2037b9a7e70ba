-- After a finish whose commit's fate is unknown and whose repetition found nothing: which of these
-- jobs did end under the presented token? $1 ids uuid[]  $2 tokens bigint[]
SELECT q.id FROM unnest($1::uuid[], $2::bigint[]) AS u (id, token)
JOIN {table} q ON q.id = ANY (ARRAY[u.id])
WHERE q.claim_token = u.token AND q.status <> 'processing'
