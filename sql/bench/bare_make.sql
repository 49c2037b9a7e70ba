-- The columns of job_queue and its key, and nothing else: no triggers, no checks, the server's own
-- functions as defaults.
CREATE TABLE rowcrew.bench_bare (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), job_type text NOT NULL, payload jsonb NOT NULL,
  status text NOT NULL DEFAULT 'pending', attempts smallint NOT NULL DEFAULT 0, max_attempts smallint NOT NULL DEFAULT 5,
  crashes smallint NOT NULL DEFAULT 0, priority smallint NOT NULL DEFAULT 5, queue text COLLATE "C" NOT NULL,
  error_code text, error_message text, result jsonb,
  scheduled_at timestamptz NOT NULL DEFAULT now(), created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz, completed_at timestamptz, claim_token bigint, worker_id bigint, unique_key text,
  enqueued_by text NOT NULL DEFAULT current_user
)
