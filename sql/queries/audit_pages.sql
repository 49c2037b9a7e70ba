-- How many heap pages the audit has to walk, and a number that grows with every change of the table
-- (or starts again after a crash of the server).
SELECT pg_relation_size({table_regclass}::regclass) / current_setting('block_size')::bigint,
       pg_stat_get_tuples_inserted({table_regclass}::regclass) + pg_stat_get_tuples_updated({table_regclass}::regclass)
       + pg_stat_get_tuples_deleted({table_regclass}::regclass)
