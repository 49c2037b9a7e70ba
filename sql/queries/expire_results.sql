-- Removes results whose time is over, within a range of heap pages. $1 first page  $2 how many pages
UPDATE {table} q SET {result} = NULL
FROM rowcrew.job_type t
WHERE q.ctid >= format('(%s,0)', $1::bigint)::tid AND q.ctid < format('(%s,0)', $1::bigint + $2::bigint)::tid
  AND q.status = 'completed' AND q.{result} IS NOT NULL AND t.name = {job_type}
  AND q.completed_at < rowcrew.clock() - t.keep_result_ms * interval '1 ms'
