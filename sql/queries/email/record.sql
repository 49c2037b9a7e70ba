-- email: the ledger's row of a job, written before the mail leaves; message id and date are those of
-- the first attempt. A late attempt does not take back what was sent.
-- $1 job  $2 app  $3 account  $4 recipient  $5 template  $6 key of the message id  $7 its domain
-- $8 sending or suppressed  $9 the job's table
INSERT INTO rowcrew.email_notifications AS n (job_id, app, account, recipient, template, message_id, status)
VALUES (rowcrew.port_job($9::text, $1::text), $2::text, $3::text, $4::text, $5::text, rowcrew.email_message_id($6::text, $7::text), $8::text)
ON CONFLICT (job_id) DO UPDATE
SET status = CASE n.status WHEN 'sent' THEN n.status ELSE EXCLUDED.status END,
    account = EXCLUDED.account, recipient = EXCLUDED.recipient, template = EXCLUDED.template,
    message_id = coalesce(n.message_id, EXCLUDED.message_id)
RETURNING message_id, floor(extract(epoch FROM created_at))::bigint
