-- generation/input: what this generation is to do, or why it may not be done.
SELECT {port:generation_input}($1::uuid)
