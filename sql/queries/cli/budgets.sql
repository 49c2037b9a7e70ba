-- What may be spent a day on each provider that has a budget, and what of it is spent today (UTC).
SELECT b.provider, (b.day_micros / 1000000.0)::numeric(30, 6),
       (SELECT (coalesce(sum(c.cost_micros), 0) / 1000000)::numeric(30, 6) FROM rowcrew.provider_call c
        WHERE c.provider = b.provider AND c.at >= date_trunc('day', rowcrew.clock(), 'UTC'))
FROM rowcrew.provider_budget b ORDER BY b.provider
