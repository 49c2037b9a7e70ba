-- For the transaction of audit_find, beside audit_settings. Where all but a few jobs have ended when the table was analyzed, one that
-- waits is expected within a range, for whom a walk over the hints is cheapest; of a hundred thousand that came since, each would walk.
SELECT set_config('enable_nestloop', 'off', true)
