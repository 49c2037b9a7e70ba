-- Lets jobs go that were laid aside for a key, unless it is paused (again). $1 key  $2 at most so many
WITH p AS (
  DELETE FROM {parked} WHERE ctid = ANY (ARRAY(
    SELECT h.ctid FROM {parked} h WHERE h.reason = 'paused' AND h.key = $1
      AND NOT EXISTS (SELECT FROM rowcrew.pause x WHERE x.scope || ':' || x.name = $1 AND (x.until IS NULL OR x.until > rowcrew.clock()))
    LIMIT $2::int FOR UPDATE SKIP LOCKED))
  RETURNING id
), f AS MATERIALIZED (
  SELECT rowcrew.file_due({table_name}, ARRAY(SELECT id FROM p))
)
SELECT p.id FROM p WHERE (SELECT count(*) FROM f) >= 0
