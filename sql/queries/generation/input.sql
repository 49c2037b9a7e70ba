-- generation/input: what this generation is to do, or why it may not be done. $1 job  $2 its table
SELECT {port:generation_input}(rowcrew.port_job($2::text, $1::text)), rowcrew.plan_by_index() FROM rowcrew.plan_as_usual()
