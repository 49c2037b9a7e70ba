-- Removes hints of jobs that ended, or are gone, from queues that nobody claims from (no live node serves them, or they are
-- paused), within a range of heap pages of the hints: there status would count them as ready for ever. As drop_ended.
-- $1 first page  $2 how many pages. Returns how many pages there are.
WITH gone AS (
  DELETE FROM {ready} WHERE ctid = ANY (ARRAY(
    SELECT r.ctid FROM {ready} r
    WHERE r.ctid >= format('(%s,0)', $1::bigint)::tid AND r.ctid < format('(%s,0)', $1::bigint + $2::bigint)::tid
      AND r.queue <> ALL (ARRAY((SELECT unnest(n.queues) FROM rowcrew.node n WHERE NOT n.dead)
                                EXCEPT (SELECT p.name FROM rowcrew.pause p
                                        WHERE p.scope = 'queue' AND (p.until IS NULL OR p.until > rowcrew.clock())
                                        UNION ALL SELECT u.name FROM rowcrew.queue u WHERE u.paused)))
      AND NOT EXISTS (SELECT FROM {table} q WHERE q.id = ANY (ARRAY[r.id]) AND q.status IN ('pending', 'retrying') OFFSET 0)
    FOR UPDATE SKIP LOCKED))
)
SELECT pg_relation_size('{ready}'::regclass) / current_setting('block_size')::bigint
