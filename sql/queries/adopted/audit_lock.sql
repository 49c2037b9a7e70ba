-- Locks what audit_heal of an adopted table is about to judge. $1 ids text[]
SELECT q.{key}::text FROM {table} q WHERE q.{key} = ANY ($1::{key_type}[]) ORDER BY q.{key} FOR NO KEY UPDATE SKIP LOCKED
