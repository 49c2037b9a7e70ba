-- Enqueues the job of one due moment, once however many nodes try. $1 schedule  $2 moment in ms
-- since the epoch. No row: another node was first, or the schedule is gone.
WITH t AS (
  INSERT INTO rowcrew.tick (schedule, due_at, job_id)
  SELECT s.name, to_timestamp($2::bigint / 1000.0), rowcrew.uuid7() FROM rowcrew.schedule s
  WHERE s.name = $1 AND s.enabled
  ON CONFLICT DO NOTHING
  RETURNING schedule, job_id
)
INSERT INTO rowcrew.job_queue (id, job_type, payload, queue, priority)
SELECT t.job_id, s.job_type, s.payload, s.queue, s.priority
FROM t JOIN rowcrew.schedule s ON s.name = t.schedule
RETURNING id
