-- A cancel or redrive of many: which of them, of which adopted table ('': of none), what it has done so far. $1 its number
SELECT substr(a.action, 5), coalesce(a.metadata -> 'filter' ->> 'table', ''), (a.metadata ->> 'changed')::bigint,
       (a.metadata ->> 'requested')::bigint, (a.metadata ->> 'skipped')::bigint
FROM rowcrew.audit_logs a WHERE a.id = $1::bigint AND a.action IN ('job.cancel', 'job.redrive') AND a.metadata ? 'filter'
