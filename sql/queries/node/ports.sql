-- Every registered app, and every function that a port resolves to. A row without a port names an app.
SELECT a.name, a.schema_name, NULL AS port, NULL AS fault FROM rowcrew.app a
UNION ALL
SELECT f.app, f.schema_name, f.port, f.fault FROM rowcrew.port_function f
