-- Dead nodes are kept a day for people to look at.
DELETE FROM rowcrew.node WHERE dead AND last_seen < rowcrew.clock() - interval '1 day'
