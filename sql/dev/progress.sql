-- rowcrew dev: the counts of the progress line; whether the folder was looked at since the start.
SELECT p.found, p.waiting, p.processed, p.failed, p.blocked, p.mails_sent, p.mails_failed,
       p.webhooks_delivered, p.webhooks_failed, p.messages_waiting,
       EXISTS (SELECT FROM demo.drive_polls d
               WHERE d.folder_id = 'demo' AND d.poll_status = 'success' AND d.last_poll_at >= $1::timestamptz)
FROM demo.progress p
