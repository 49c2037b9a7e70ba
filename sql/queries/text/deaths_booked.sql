-- How many deaths of its node the ledger has of a job already. $1 its table  $2 its id
SELECT coalesce(max((c.units ->> 'crash')::integer), 0) FROM rowcrew.provider_call c
WHERE c.job_id = $2 AND c.job_table = $1 AND c.outcome = 'lost' AND c.units ? 'crash'
