-- The adopted tables, and how many stale writes were held of each.
SELECT z.name, format('%I.%I', z.schema_name, z.table_name), z.mode, coalesce(z.hold_reason, ''),
       (SELECT count(*) FROM rowcrew.adopted_conflict c WHERE c.job_table = z.name),
       (SELECT count(*) FROM rowcrew.adopted_conflict c WHERE c.job_table = z.name AND c.at > rowcrew.clock() - interval '1 hour'),
       z.epoch, z.template
FROM rowcrew.adopted_table z ORDER BY z.name
