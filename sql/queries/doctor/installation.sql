-- Doctor: the row of rowcrew.meta, null where it is gone.
SELECT coalesce((
  SELECT json_build_object('version', m.schema_version, 'min_binary', m.min_binary, 'id', m.installation_id,
                           'home', coalesce(m.home_database = h.database AND (m.home_system = h.system OR m.home_system IS NULL OR h.system IS NULL), true))
  FROM rowcrew.meta m, rowcrew.here() h), 'null'::json)
