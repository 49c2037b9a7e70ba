-- Opens the usage periods that are due; how many.
SELECT {port:usage_reset}(), rowcrew.plan_by_index() FROM rowcrew.plan_as_usual()
