-- The port "<job type>_ended", in the transaction that ends the execution.
-- $1 job id  $2 what became of it: jsonb
SELECT {ended}($1::uuid, $2::jsonb), rowcrew.plan_by_index() FROM rowcrew.plan_as_usual()
