-- What model providers cost, the last $1 days (UTC), today included: by day, provider and model, then all of it (no day). From the ledger,
-- not from the view spend: that would open every month there is.
SELECT to_char(d.day, 'YYYY-MM-DD'), c.provider, c.model, count(*), count(*) FILTER (WHERE c.outcome <> 'done'),
       (coalesce(sum(c.cost_micros), 0) / 1000000)::numeric(30, 6), coalesce(bool_or(c.estimated), false),
       jsonb_build_object('day', d.day, 'provider', c.provider, 'model', c.model, 'calls', count(*), 'in_vain', count(*) FILTER (WHERE c.outcome <> 'done'),
                          'cost_micros', sum(c.cost_micros), 'estimated', bool_or(c.estimated))
FROM rowcrew.provider_call c, LATERAL (SELECT (c.at AT TIME ZONE 'UTC')::date AS day) d
WHERE c.at >= date_trunc('day', rowcrew.clock(), 'UTC') - ($1::integer - 1) * interval '24 hours'
GROUP BY GROUPING SETS ((d.day, c.provider, c.model), ())
ORDER BY d.day DESC NULLS LAST, c.provider, c.model
