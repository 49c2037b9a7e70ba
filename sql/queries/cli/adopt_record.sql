-- Records a table that is being adopted; returns the name that it goes by. $1 map jsonb
SELECT rowcrew.adopted_record($1::jsonb)
