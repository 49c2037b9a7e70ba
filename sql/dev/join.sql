-- rowcrew dev: the demo studio with its folder where this start wants it, the time, and a new secret.
WITH joined AS MATERIALIZED (
  SELECT demo.join_studio('Demo studio', 'studio@example.com', 'creator', 'demo', $1::text, $2::text) AS account_id
), moved AS (
  UPDATE demo.watched_folder SET path = $1::text, output_path = $2::text
  WHERE folder_id = 'demo' AND (path, output_path) <> ($1::text, $2::text)
)
SELECT joined.account_id, rowcrew.clock(),
       'whsec_' || encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'base64')
FROM joined
