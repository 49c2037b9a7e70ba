-- No row: no such key, or revoked before. $1 name
UPDATE rowcrew.api_key SET revoked_at = rowcrew.clock() WHERE name = $1 AND revoked_at IS NULL
RETURNING key_id
