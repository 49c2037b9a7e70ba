-- What a program checks before it works: schema version, required binary, and whether this is home.
SELECT m.installation_id, m.schema_version, m.min_binary,
       (m.home_database = h.database AND (m.home_system = h.system OR m.home_system IS NULL OR h.system IS NULL))
FROM rowcrew.meta m, rowcrew.here() h
