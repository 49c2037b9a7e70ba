-- $1 name  $2 SHA-256 of the key in hex  $3 job types text[]
INSERT INTO rowcrew.api_key (name, key_hash, job_types) VALUES ($1, $2, $3::text[])
