-- $1 action  $2 target  $3 metadata jsonb
INSERT INTO rowcrew.audit_logs (action, target, metadata) VALUES ($1, $2, $3::jsonb)
