-- Books one call of a model provider. $1 job table  $2 job id  $3 claim token  $4 job type  $5 attempt  $6 provider  $7 model
-- $8 the provider's name of the call  $9 outcome  $10 units jsonb  $11 cost in micros  $12 whether that is an estimate
SELECT rowcrew.book_call($1, $2, $3::bigint, $4, $5::smallint, $6, $7, $8, $9, $10::jsonb, $11::bigint, $12::boolean)
