-- Bounds the statements that follow in this transaction. $1 milliseconds
SELECT set_config('statement_timeout', $1, true)
