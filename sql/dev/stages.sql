-- rowcrew dev: where the time of a photo went.
SELECT t.stage, t.n, t.median_ms::bigint, t.max_ms::bigint FROM demo.stage_times t ORDER BY t.pos
