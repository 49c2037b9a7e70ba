-- Whether a suspect of these queues is due. $1 queues text[]
SELECT EXISTS (
  SELECT FROM {parked} p
  WHERE p.reason = 'suspect' AND p.queue = ANY ($1::text[]) AND p.run_at <= rowcrew.clock())
