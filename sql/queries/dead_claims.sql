-- The jobs of a page of reap. $1 the last token of the page before
SELECT unnest(x.ids)::text
FROM (SELECT d.ids, sum(cardinality(d.ids)) OVER (ORDER BY d.token) - cardinality(d.ids) AS before
      FROM (SELECT k.token, k.ids FROM {claim} k
            WHERE k.token > $1::bigint
              AND NOT EXISTS (SELECT FROM rowcrew.node n WHERE n.node_id = k.node_id AND n.epoch = k.epoch AND NOT n.dead)
            ORDER BY k.token LIMIT 200) d) x
WHERE x.before < 1000
