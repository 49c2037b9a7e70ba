-- What a retention job has to do. $1 one policy, or null: all that are enabled  $2 the job  $3 its table
-- A continued job does not see again what it has finished; if that is everything, it was started
-- anew by hand and sees all. A walk that was broken off goes first.
WITH p AS (
  SELECT name, enabled, dry_run, resume_after, last_run_at, last_job IS NOT DISTINCT FROM rowcrew.port_job($3::text, $2::text) AS done
  FROM rowcrew.retention_policy
  WHERE CASE WHEN $1::text IS NULL THEN enabled ELSE name = $1 END
)
SELECT name, enabled, dry_run, resume_after FROM p
WHERE NOT done OR NOT EXISTS (SELECT FROM p WHERE NOT done)
ORDER BY resume_after IS NULL, last_run_at NULLS FIRST, name
