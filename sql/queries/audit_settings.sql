-- The audit compares sets, so for this transaction it is planned as such, by the sizes of the moment.
SELECT set_config('enable_hashjoin', 'on', true), set_config('enable_seqscan', 'on', true),
       set_config('plan_cache_mode', 'force_custom_plan', true)
