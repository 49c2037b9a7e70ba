-- Enqueues jobs from C++. $1 JSON array as enqueue_many takes it
SELECT id, outcome FROM rowcrew.enqueue_many($1::jsonb) ORDER BY n
