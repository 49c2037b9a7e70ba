-- What is left of a provider's day. $1 provider  $2 job table  $3 job id  $4 job type: who asks
SELECT b.day_micros, b.spent_micros, b.wait_ms, b.news FROM rowcrew.budget_left($1, $2, $3, $4) b
