-- Keeps 30 days of ticks, a day of cron lines that name more than one minute of an hour, an hour or the last thousand of
-- short intervals, and always the newest of each schedule, of the past. $1 at most this many
DELETE FROM rowcrew.tick WHERE ctid = ANY (ARRAY(
  SELECT x.hint FROM rowcrew.schedule s, LATERAL (
    SELECT k.ctid AS hint FROM rowcrew.tick k
    WHERE k.schedule = s.name
      AND k.due_at < rowcrew.clock() - CASE WHEN s.cron ~ '^[[:space:]]*(@|[0-9]+[[:space:]])' THEN interval '30 days' WHEN s.cron IS NOT NULL THEN interval '1 day'
                                       ELSE least(interval '30 days', greatest(interval '1 hour', s.every_ms * interval '1 s')) END
      AND EXISTS (SELECT FROM rowcrew.tick n WHERE n.schedule = s.name AND n.due_at > k.due_at AND n.due_at <= rowcrew.clock())
    ORDER BY k.due_at LIMIT $1::int) x
  LIMIT $1::int))
