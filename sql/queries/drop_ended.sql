-- Removes hints of jobs that ended, or are gone, while they waited for permits, within a range of heap pages of the hints: where
-- a key has no room no claim would ever meet them. Whatever lets such a job wait again files it anew.
-- $1 first page  $2 how many pages. Returns how many pages there are.
WITH gone AS (
  DELETE FROM {limited} WHERE ctid = ANY (ARRAY(
    SELECT l.ctid FROM {limited} l
    WHERE l.ctid >= format('(%s,0)', $1::bigint)::tid AND l.ctid < format('(%s,0)', $1::bigint + $2::bigint)::tid
      AND NOT EXISTS (SELECT FROM {table} q WHERE q.id = ANY (ARRAY[l.id]) AND q.status IN ('pending', 'retrying') OFFSET 0)
    FOR UPDATE SKIP LOCKED))
)
SELECT pg_relation_size('{limited}'::regclass) / current_setting('block_size')::bigint
