-- Keeps 30 days of ticks, an hour or the last thousand of intervals that would make very many in that time, and always the
-- newest of each schedule, of the past. $1 at most this many
DELETE FROM rowcrew.tick WHERE ctid = ANY (ARRAY(
  SELECT x.hint FROM rowcrew.schedule s, LATERAL (
    SELECT k.ctid AS hint FROM rowcrew.tick k
    WHERE k.schedule = s.name
      AND k.due_at < rowcrew.clock() - CASE WHEN s.every_ms IS NULL THEN interval '30 days'
                                       ELSE least(interval '30 days', greatest(interval '1 hour', s.every_ms * interval '1 s')) END
      AND EXISTS (SELECT FROM rowcrew.tick n WHERE n.schedule = s.name AND n.due_at > k.due_at AND n.due_at <= rowcrew.clock())
    ORDER BY k.due_at LIMIT $1::int) x
  LIMIT $1::int))
