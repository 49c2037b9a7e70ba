-- What a takeover is about to change.
SELECT current_database(), coalesce(host(inet_server_addr()), 'local socket'),
       (SELECT count(*) FROM rowcrew.node WHERE NOT dead)
