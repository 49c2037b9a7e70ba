-- rowcrew dev: the receiver of this start replaces that of the last one.
WITH moved AS (
  UPDATE rowcrew.webhook_endpoints SET url = $2::text, secret = $3::text, enabled = true
  WHERE app = 'demo' AND account = $1::text AND url ~ '^http://127\.0\.0\.1:[0-9]+/dev$'
  RETURNING endpoint_id
)
INSERT INTO rowcrew.webhook_endpoints (app, account, url, secret, events)
SELECT 'demo', $1::text, $2::text, $3::text, ARRAY['photo.ready', 'photo.failed', 'photo.blocked']
WHERE NOT EXISTS (SELECT FROM moved)
