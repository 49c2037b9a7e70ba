-- How many heap pages the audit has to walk.
SELECT pg_relation_size({table_regclass}::regclass) / current_setting('block_size')::bigint
