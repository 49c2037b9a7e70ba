-- One webhook delivery with its endpoint, and the database's time for the signature.
-- $1 delivery uuid
-- No row: there is no such delivery. Columns of the endpoint are null when it is gone.
SELECT d.body, e.enabled, e.url, e.secret,
       CASE WHEN e.previous_secret_until > rowcrew.clock() THEN e.previous_secret END AS previous_secret,
       floor(extract(epoch FROM rowcrew.clock()))::bigint AS sent_at
FROM rowcrew.webhook_deliveries d
LEFT JOIN rowcrew.webhook_endpoints e ON e.endpoint_id = d.endpoint_id
WHERE d.delivery_id = $1::uuid
