-- Moves hints of paused jobs of an adopted table from the front of a queue out of the way of claims.
-- $1 queue  $2 how many hints to look at
WITH h AS MATERIALIZED (
  SELECT r.ctid AS hint, r.id, r.priority, r.queue FROM {ready} r
  WHERE r.queue = $1 AND r.run_at <= rowcrew.clock()
  ORDER BY r.priority, r.run_at LIMIT $2::int FOR UPDATE SKIP LOCKED
), p AS MATERIALIZED (
  SELECT h.*, rowcrew.paused_key({job_type}, {tenant}) AS pause FROM h JOIN {table} q ON q.{key} = ANY (ARRAY[h.id])
), d AS (
  DELETE FROM {ready} WHERE ctid = ANY (ARRAY(SELECT hint FROM p WHERE pause IS NOT NULL))
)
INSERT INTO {parked} (run_at, id, priority, queue, reason, key)
SELECT rowcrew.clock() + interval '100 years', p.id, p.priority, p.queue, 'paused', p.pause FROM p WHERE p.pause IS NOT NULL
