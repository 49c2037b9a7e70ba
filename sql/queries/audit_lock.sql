-- Locks what audit_heal is about to judge: its own snapshot, taken after this one, is then no older
-- than any of these rows. $1 ids uuid[]
SELECT q.id FROM {table} q WHERE q.id = ANY ($1::uuid[]) ORDER BY q.id FOR NO KEY UPDATE SKIP LOCKED
