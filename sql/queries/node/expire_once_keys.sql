-- Forgets idempotency keys a week after their first use. $1 at most this many
DELETE FROM rowcrew.job_unique WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM rowcrew.job_unique
  WHERE scope LIKE 'once:%' AND created_at < rowcrew.clock() - interval '7 days'
  LIMIT $1::int FOR UPDATE SKIP LOCKED))
