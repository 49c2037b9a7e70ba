-- Pre-creates the partitions of the attempt log and the outbox. $1 weeks ahead
SELECT rowcrew.ensure_partitions($1::int)
