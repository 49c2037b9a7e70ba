-- Keeps 30 days of ticks, and always the newest of each schedule. $1 at most this many
DELETE FROM rowcrew.tick WHERE ctid = ANY (ARRAY(
  SELECT k.ctid FROM rowcrew.tick k
  WHERE k.due_at < rowcrew.clock() - interval '30 days'
    AND EXISTS (SELECT FROM rowcrew.tick n WHERE n.schedule = k.schedule AND n.due_at > k.due_at)
  LIMIT $1::int))
