-- Sets whether an adopted table is served. $1 name  $2 mode  $3 why it is held, else null
UPDATE rowcrew.adopted_table SET mode = $2::text, hold_reason = $3::text, epoch = epoch + 1 WHERE name = $1::text
