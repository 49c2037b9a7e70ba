-- Opens the usage periods that are due; how many.
SELECT {port:usage_reset}()
