-- Moves hints of paused jobs from the front of a queue out of the way of claims; the jobs themselves
-- are only read. $1 queue  $2 how many hints to look at
WITH h AS MATERIALIZED (
  SELECT r.ctid AS hint, r.id, r.priority, r.queue FROM {ready} r
  WHERE r.queue = $1 AND r.run_at <= rowcrew.clock()
  ORDER BY r.priority, r.run_at LIMIT $2::int FOR UPDATE SKIP LOCKED
), p AS MATERIALIZED (
  SELECT h.*, rowcrew.paused_key({job_type}, q.tenant) AS key FROM h JOIN {table} q ON q.id = ANY (ARRAY[h.id])
), d AS (
  DELETE FROM {ready} WHERE ctid = ANY (ARRAY(SELECT hint FROM p WHERE key IS NOT NULL))
)
INSERT INTO {parked} (run_at, id, priority, queue, reason, key)
SELECT rowcrew.clock() + interval '100 years', p.id, p.priority, p.queue, 'paused', p.key FROM p WHERE p.key IS NOT NULL
