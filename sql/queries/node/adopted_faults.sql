-- What the applications have changed about their tables so that they cannot be served any more.
SELECT z.name, z.epoch, f.fault
FROM rowcrew.adopted_table z, LATERAL (SELECT rowcrew.adopted_fault(z.name) AS fault) f
WHERE z.mode = 'serve' AND f.fault IS NOT NULL
