-- What people did last, newest first, as one array. $1 at most so many
SELECT coalesce(json_agg(to_json(x) ORDER BY x.id DESC), '[]')
FROM (SELECT a.id, a.created_at AS at, a.actor, a.action, a.target, a.metadata FROM rowcrew.audit_logs a ORDER BY a.id DESC LIMIT $1::int) x
