-- The audit compares sets: hash plans for this transaction only.
SELECT set_config('enable_hashjoin', 'on', true)
