-- What jobs are laid aside for: each key once, a look into the index each.
WITH RECURSIVE k AS (
  (SELECT p.key FROM {parked} p WHERE p.reason = 'paused' ORDER BY p.key LIMIT 1)
  UNION ALL
  SELECT (SELECT p.key FROM {parked} p WHERE p.reason = 'paused' AND p.key > k.key ORDER BY p.key LIMIT 1)
  FROM k WHERE k.key IS NOT NULL
)
SELECT key FROM k WHERE key IS NOT NULL
