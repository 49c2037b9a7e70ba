-- What every statement of ours relies on, as one batch. The scope is SESSION right after connecting,
-- or LOCAL inside every transaction behind a transaction pooler, which hands sessions around.
SET {scope} default_transaction_isolation = 'read committed';
-- An error instead of rows that silently are not there.
SET {scope} row_security = off;
-- Every name in our statements is qualified; nobody's table may shadow ours.
SET {scope} search_path = '';
-- Results travel as text: its form must not depend on settings of the role or the database.
SET {scope} TimeZone = 'UTC';
SET {scope} DateStyle = 'ISO, YMD';
SET {scope} IntervalStyle = 'postgres';
SET {scope} bytea_output = 'hex';
SET {scope} standard_conforming_strings = on;
-- And arrays travel as text to the server, with NULL for what an element has not. Names are compared as they are.
SET {scope} array_nulls = on;
SET {scope} quote_all_identifiers = off;
SET {scope} transform_null_equals = off;
SET {scope} client_min_messages = warning;
-- The triggers on tables of applications tell our claims and ends from an application's writes by this.
SET {scope} rowcrew.engine = 'on';
SET {scope} lock_timeout = {lock_timeout};
SET {scope} statement_timeout = {statement_timeout};
SET {scope} idle_in_transaction_session_timeout = '60s';
-- A session that listens, or holds the gate, is idle for hours and has to stay.
SET {scope} idle_session_timeout = 0;
-- Versions 17 and later have one more, which takes the whole connection along: what it ends looks like an outage.
SELECT set_config('transaction_timeout', '0', '{scope}' = 'LOCAL') WHERE current_setting('transaction_timeout', true) IS NOT NULL;
-- Index walks with nested loops, whatever the statistics of an hour ago say: the hot tables are empty
-- at one moment and huge at the next.
SET {scope} enable_nestloop = on;
SET {scope} enable_indexscan = on;
SET {scope} enable_indexonlyscan = on;
SET {scope} enable_tidscan = on;
SET {scope} enable_sort = on;
SET {scope} enable_seqscan = off;
SET {scope} enable_hashjoin = off;
SET {scope} enable_mergejoin = off;
SET {scope} enable_bitmapscan = off;
SET {scope} jit = off;
-- Seen above as very dear, the smallest list would be read by several processes.
SET {scope} max_parallel_workers_per_gather = 0;
SET {scope} plan_cache_mode = force_generic_plan;
