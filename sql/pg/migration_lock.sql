-- One migration at a time per database; held to the end of the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('rowcrew.migrate', 0))
