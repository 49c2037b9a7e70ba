-- The payload of a job of an adopted table that runs here and was too large for its claim to carry. $1 id  $2 token
-- No row: the claim was lost.
SELECT {payload} FROM {table} q JOIN {job} x ON x.id = q.{key}
WHERE q.{key} = $1::{key_type} AND x.token = $2::bigint AND x.status = 'processing'
