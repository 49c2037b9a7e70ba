-- Cheap while it is asked over and over: the claim row of a batch goes with the write that ends its last job.
-- $1 name of the run's node
SELECT EXISTS (SELECT FROM rowcrew.job_queue_ready WHERE queue = 'bench')
    OR EXISTS (SELECT FROM rowcrew.job_queue_claim c JOIN rowcrew.node n ON n.node_id = c.node_id WHERE n.name = $1)
