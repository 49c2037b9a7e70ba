-- What every node observes of the others, to be timed with its own clock.
SELECT node_id, epoch, beat, lease_ms, queues::text[] FROM rowcrew.node WHERE NOT dead
