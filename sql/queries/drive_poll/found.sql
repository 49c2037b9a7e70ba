-- Hands new files of a folder to the application; how many were new to it. $1 folder  $2 files
SELECT {port:drive_files_found}($1, $2::jsonb), rowcrew.plan_by_index() FROM rowcrew.plan_as_usual()
