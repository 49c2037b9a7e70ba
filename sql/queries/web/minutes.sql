-- What ended in each minute of the last hour, from the minute buckets, as one array.
SELECT coalesce(json_agg(to_json(m) ORDER BY m.minute), '[]')
FROM (SELECT s.minute, sum(s.completed) AS completed, sum(s.failed) AS failed, sum(s.retried) AS retried, sum(s.cancelled) AS cancelled,
             sum(s.claim_lost) AS lost, sum(s.run_ms) AS run_ms
      FROM rowcrew.node_stat s WHERE s.minute > rowcrew.clock() - interval '1 hour' GROUP BY s.minute) m
