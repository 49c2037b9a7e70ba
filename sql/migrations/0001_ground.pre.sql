-- 0001: time, ids, the installation's identity, nodes and the control channel.
-- The migrator has created the schema rowcrew and its own bookkeeping table.

-- The database's clock, the only one that decides about jobs. STABLE: the statement's time, so that
-- it can bound an index scan.
CREATE FUNCTION rowcrew.clock() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
RETURN statement_timestamp();

-- The time of the call, for filing hints: a long transaction must not backdate them.
-- Both bodies are read here, once: triggers call them with our rights and an inserter's search_path.
CREATE FUNCTION rowcrew.clock_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN clock_timestamp();

-- Tests move time by redefining both functions: nothing is read or compared when they do not.
CREATE FUNCTION rowcrew.set_clock_offset(p_offset interval) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE OR REPLACE FUNCTION rowcrew.clock() RETURNS timestamptz LANGUAGE sql STABLE'
                 ' PARALLEL SAFE RETURN statement_timestamp() + interval %L', p_offset);
  EXECUTE format('CREATE OR REPLACE FUNCTION rowcrew.clock_now() RETURNS timestamptz LANGUAGE sql VOLATILE'
                 ' PARALLEL SAFE RETURN clock_timestamp() + interval %L', p_offset);
END $$;
COMMENT ON FUNCTION rowcrew.set_clock_offset(interval) IS
  'For tests only: shifts the clock that every statement, default and trigger of rowcrew reads.';

-- RFC 9562 version 7: ids sort by creation time, so batches of jobs touch neighbouring pages.
CREATE FUNCTION rowcrew.uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
          || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid
$$;
COMMENT ON FUNCTION rowcrew.uuid7() IS
  'The default id of a job: a UUID of version 7 (RFC 9562), which begins with the time. For ids that an application makes itself.';

-- The least id of that moment: a bound on ids is one on time that the primary key knows, also below a view that keeps roles
-- apart, into which no ORDER BY reaches.
CREATE FUNCTION rowcrew.id_at(p_time timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT (lpad(to_hex(floor(least(greatest(extract(epoch FROM p_time) * 1000, 0), 281474976710655))::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
COMMENT ON FUNCTION rowcrew.id_at(timestamptz) IS
  'For looking at jobs of late without reading all: WHERE id >= rowcrew.id_at(now() - interval ''1 hour''). Of ids that rowcrew gave.';

CREATE TABLE rowcrew.meta (
  only_row        boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
  installation_id uuid        NOT NULL DEFAULT gen_random_uuid(),
  home_system     bigint,
  home_database   oid,
  schema_version  integer     NOT NULL DEFAULT 0,
  min_binary      integer     NOT NULL DEFAULT 1,
  taken_over_at   timestamptz,
  taken_over_by   text
);
COMMENT ON TABLE rowcrew.meta IS 'One row: which installation this is, and which programs may work on it.';
COMMENT ON COLUMN rowcrew.meta.home_system IS
  'System identifier of the server this installation works on. Nodes refuse to start when the server '
  'they reach is another one (a restored copy): "rowcrew takeover" makes the copy an installation of its own.';
COMMENT ON COLUMN rowcrew.meta.home_database IS 'Oid of the database, for the same reason: a copy within one server.';
COMMENT ON COLUMN rowcrew.meta.min_binary IS
  'The oldest schema version that a program must have been built for; raised by post migrations.';

-- Null where a managed server does not let us read it: then only the database is compared.
CREATE FUNCTION rowcrew.system_identifier() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT system_identifier FROM pg_control_system());
EXCEPTION WHEN insufficient_privilege THEN
  RETURN NULL;
END $$;

CREATE FUNCTION rowcrew.here() RETURNS TABLE (system bigint, database oid) LANGUAGE sql STABLE AS $$
  SELECT rowcrew.system_identifier(), (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
$$;

-- Whether objects can be given to the group role rowcrew_owner. Since PostgreSQL 16 a membership says
-- with SET whether it is enough for that; a role's creator is a member without it.
CREATE FUNCTION rowcrew.may_become_owner() RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT coalesce(pg_has_role(to_regrole('rowcrew_owner')::oid,
    CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END), false)
$$;

-- Makes the database this installation's home. Claims of nodes that worked on the original are
-- handed to the reaper by marking those nodes dead.
CREATE FUNCTION rowcrew.takeover(p_by text DEFAULT session_user) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
  v_id uuid := gen_random_uuid();
  v record;
BEGIN
  -- Whoever emptied the table by hand has lost no more than an identity, which is made anew here.
  INSERT INTO rowcrew.meta (schema_version) SELECT max(m.version) FROM rowcrew.schema_migration m ON CONFLICT DO NOTHING;
  UPDATE rowcrew.meta m SET installation_id = v_id, home_system = h.system, home_database = h.database,
         taken_over_at = rowcrew.clock(), taken_over_by = p_by
  FROM rowcrew.here() h;
  UPDATE rowcrew.node SET dead = true WHERE NOT dead;
  PERFORM rowcrew.adopted_refind();
  -- A copy that was made by logical replication has the rows and not the sequences.
  FOR v IN SELECT a.attrelid::regclass AS name, a.attname, pg_get_serial_sequence(a.attrelid::regclass::text, a.attname) AS sequence
           FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
           WHERE c.relnamespace = 'rowcrew'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attidentity <> '' LOOP
    EXECUTE format('SELECT setval(%L, greatest((SELECT max(%I) FROM %s), nextval(%L)))', v.sequence, v.attname, v.name, v.sequence);
  END LOOP;
  RETURN v_id;
END $$;

INSERT INTO rowcrew.meta (home_system, home_database) SELECT system, database FROM rowcrew.here();

CREATE TABLE rowcrew.node (
  node_id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  epoch      bigint      NOT NULL,
  beat       bigint      NOT NULL DEFAULT 0,
  dead       boolean     NOT NULL DEFAULT false,
  lease_ms   integer     NOT NULL CHECK (lease_ms > 0),
  name       text        NOT NULL,
  host       text        NOT NULL,
  pid        integer     NOT NULL,
  version    text        NOT NULL,
  queues     text[]      NOT NULL,
  started_at timestamptz NOT NULL DEFAULT rowcrew.clock(),
  last_seen  timestamptz NOT NULL DEFAULT rowcrew.clock(),
  failing    jsonb
) WITH (fillfactor = 20);
COMMENT ON TABLE rowcrew.node IS 'One row per running rowcrewd. A claim whose (node_id, epoch) is no live row here is rescued.';
COMMENT ON COLUMN rowcrew.node.beat IS
  'Counts heartbeats. Others time its changes with their own monotonic clocks; never compare times instead.';
COMMENT ON COLUMN rowcrew.node.dead IS 'Set once, by whoever saw the beat stand still for a lease. Never reset: the node must register anew.';
COMMENT ON COLUMN rowcrew.node.failing IS
  'What of its work has done nothing but fail, as of its last beat: [{"work", "for_ms", "error"}]. For people only: status and why tell it.';
COMMENT ON COLUMN rowcrew.node.last_seen IS 'For people only. No decision reads it.';

CREATE TABLE rowcrew.node_stat (
  minute     timestamptz NOT NULL,
  node_id    bigint      NOT NULL,
  job_table  text        NOT NULL,
  job_type   text        NOT NULL,
  started    integer     NOT NULL DEFAULT 0,
  completed  integer     NOT NULL DEFAULT 0,
  failed     integer     NOT NULL DEFAULT 0,
  retried    integer     NOT NULL DEFAULT 0,
  snoozed    integer     NOT NULL DEFAULT 0,
  cancelled  integer     NOT NULL DEFAULT 0,
  released   integer     NOT NULL DEFAULT 0,
  claim_lost integer     NOT NULL DEFAULT 0,
  run_ms     bigint      NOT NULL DEFAULT 0,
  run_ms_max integer     NOT NULL DEFAULT 0,
  PRIMARY KEY (minute, node_id, job_table, job_type)
);
COMMENT ON TABLE rowcrew.node_stat IS 'Minute buckets, added to with each node''s heartbeat; nothing here is written per job.';
COMMENT ON COLUMN rowcrew.node_stat.claim_lost IS 'Late writes that the fence refused: another node owns the job by now.';

CREATE TABLE rowcrew.node_command (
  command_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  command    text        NOT NULL CHECK (command IN ('tail', 'log_level')),
  argument   jsonb       NOT NULL DEFAULT '{}',
  node_id    bigint,
  issued_by  text        NOT NULL DEFAULT session_user,
  issued_at  timestamptz NOT NULL DEFAULT rowcrew.clock(),
  expires_at timestamptz NOT NULL DEFAULT rowcrew.clock() + interval '1 minute'
);
COMMENT ON TABLE rowcrew.node_command IS
  'What running nodes are asked to do: log_level, argument {"level": "debug"}, until the node ends; tail, by "rowcrew tail". '
  'Answers are in node_command_ack.';
COMMENT ON COLUMN rowcrew.node_command.node_id IS 'Null: for every live node.';
COMMENT ON COLUMN rowcrew.node_command.expires_at IS 'Not carried out any more after this.';

CREATE TABLE rowcrew.node_command_ack (
  command_id bigint      NOT NULL REFERENCES rowcrew.node_command ON DELETE CASCADE,
  node_id    bigint      NOT NULL,
  acked_at   timestamptz NOT NULL DEFAULT rowcrew.clock(),
  answer     text        NOT NULL DEFAULT 'ok',
  PRIMARY KEY (command_id, node_id)
);

-- Names its table: a node looks there, and not at whatever else may be announced, which it does table by table.
CREATE FUNCTION rowcrew.announce_command() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('rowcrew_command', TG_TABLE_NAME);
  RETURN NULL;
END $$;
CREATE TRIGGER announce AFTER INSERT ON rowcrew.node_command
  FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.announce_command();

CREATE TABLE rowcrew.audit_logs (
  id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT rowcrew.clock(),
  actor      text        NOT NULL DEFAULT session_user,
  action     text        NOT NULL,
  target     text        NOT NULL,
  metadata   jsonb       NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE rowcrew.audit_logs IS 'Acts of people: who, what, on what, before and after. Never secrets, never payloads.';

UPDATE rowcrew.meta SET schema_version = 1;
