-- Doctor: what of the fleet outside single jobs is odd: nodes, pauses, rules, retention, endpoints, adopted tables.
WITH n AS MATERIALIZED (
  SELECT x.name, x.host, x.pid, x.version, x.queues, x.job_types, x.failing, rowcrew.clock() - x.last_seen AS beat, rowcrew.clock() - x.started_at AS up,
         rowcrew.clock() - x.last_seen < greatest(x.lease_ms * interval '2 ms', interval '1 minute') AS live
  FROM rowcrew.node x WHERE NOT x.dead
)
SELECT json_build_object(
  'nodes', (SELECT coalesce(json_agg(x), '[]') FROM (
    SELECT n.name, n.host, n.pid, n.version, n.live, floor(extract(epoch FROM n.beat))::bigint AS beat, floor(extract(epoch FROM n.up))::bigint AS up,
           coalesce(jsonb_array_length(n.failing), 0) AS failing FROM n ORDER BY n.name, n.pid) x),
  'served', (SELECT coalesce(json_agg(DISTINCT q), '[]') FROM n, unnest(n.queues) q WHERE n.live),
  'types', (SELECT CASE WHEN bool_and(n.job_types IS NOT NULL) THEN (SELECT json_agg(DISTINCT t) FROM n y, unnest(y.job_types) t WHERE y.live) END FROM n WHERE n.live),
  'pauses', (SELECT coalesce(json_agg(x), '[]') FROM (
    SELECT p.scope, p.name, p.paused_by AS by, floor(extract(epoch FROM rowcrew.clock() - p.since))::bigint AS seconds, coalesce(p.reason, '') AS reason
    FROM rowcrew.pause p WHERE p.until IS NULL ORDER BY p.since LIMIT 200) x),
  'limits', (SELECT coalesce(json_agg(x), '[]') FROM (
    SELECT r.name, r.queue, r.job_type AS type, EXISTS (SELECT FROM rowcrew.queue q WHERE q.name = r.queue) AS queue_known,
           EXISTS (SELECT FROM rowcrew.job_type t WHERE t.name = r.job_type) AS type_known FROM rowcrew.job_limit r ORDER BY r.name LIMIT 200) x),
  'retention', (SELECT json_build_object(
    'scheduled', (SELECT floor(extract(epoch FROM rowcrew.clock() - max(greatest(s.created_at, s.changed_at))))::bigint FROM rowcrew.schedule s WHERE s.enabled AND s.job_type = 'retention'),
    'policies', (SELECT coalesce(json_agg(x), '[]') FROM (
      SELECT p.name, floor(extract(epoch FROM rowcrew.clock() - greatest(p.last_run_at, p.changed_at)))::bigint AS seconds  -- as cli/status_retention
      FROM rowcrew.retention_policy p WHERE p.enabled AND NOT p.dry_run ORDER BY p.name) x))),
  'endpoints', (SELECT coalesce(json_agg(x), '[]') FROM (
    SELECT e.endpoint_id AS id, e.enabled, floor(extract(epoch FROM rowcrew.clock() - e.failing_since))::bigint AS failing, coalesce(e.disabled_reason, '') AS reason,
           format('UPDATE rowcrew.webhook_endpoints SET enabled = true WHERE endpoint_id = %L', e.endpoint_id) AS mend
    FROM rowcrew.webhook_endpoints e WHERE e.failing_since < rowcrew.clock() - interval '1 hour' ORDER BY e.endpoint_id LIMIT 200) x),
  'adopted', (SELECT coalesce(json_agg(x), '[]') FROM (
    SELECT z.name, z.mode, CASE WHEN z.map -> 'columns' ? 'queue' THEN NULL ELSE coalesce(z.map ->> 'queue', 'default') END AS queue,
           coalesce(z.hold_reason, rowcrew.adopted_fault(z.name)) AS fault
    FROM rowcrew.adopted_table z WHERE z.mode <> 'shadow' ORDER BY z.name) x))
