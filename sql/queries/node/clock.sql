-- The database's clock, in milliseconds since the epoch.
SELECT floor(extract(epoch FROM rowcrew.clock()) * 1000)::bigint
