"""An application whose jobs work inside the database: what they did stands in shop.effect, one row for
each time it was done; shop.tries counts every try, those that were undone too."""
from support.fleet import Node, Stage

SCHEMA = """
CREATE SCHEMA shop;
CREATE SEQUENCE shop.tries;
CREATE TABLE shop.effect (job uuid NOT NULL, args jsonb, xact text DEFAULT pg_current_xact_id()::text);
CREATE FUNCTION shop.buy(job uuid, args jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  PERFORM nextval('shop.tries');
  INSERT INTO shop.effect VALUES (job, args);
  PERFORM pg_sleep((args ->> 'sleep')::float8);
  IF args ? 'raise' THEN RAISE EXCEPTION 'sold out' USING ERRCODE = args ->> 'raise'; END IF;
END $$;
CREATE FUNCTION shop.tell(job uuid, args jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN
  PERFORM shop.buy(job, args);
  RETURN args -> 'n';
END $$;
"""

ENTRIES = {"buy": {"function": "shop.buy"}, "tell": {"function": "shop.tell"},
           "buy_many": {"function": "shop.buy", "batch": 20}, "tell_many": {"function": "shop.tell", "batch": 20}}


def enqueue(db, entry, n, args="jsonb_build_object('n', n)"):
    """n jobs of one entry; {"effect"} is the tests' own handler with its closure."""
    if entry == "effect":
        db.execute(f"INSERT INTO rowcrew.job_queue (job_type, payload) SELECT 'effect', {args} FROM generate_series(1, %s) n", (n,))
    else:
        db.execute("INSERT INTO rowcrew.job_queue (job_type, payload) "
                   f"SELECT 'sql', jsonb_build_object('entry', %s, 'args', {args}) FROM generate_series(1, %s) n", (entry, n))


def effects(db):
    """(how many, of how many jobs)"""
    return db.execute("SELECT count(*), count(DISTINCT job) FROM shop.effect")[0]


def tries(db):
    return db.value("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM shop.tries")


class Shop(Stage):
    """A database with the application, and nodes on it."""

    def __init__(self):
        super().__init__()
        self.db.execute(SCHEMA)

    def node(self, name="node", **settings):
        settings.setdefault("kinds", {"sql": {"allow": ENTRIES}})
        settings.setdefault("queues", {"default": 20})
        node = Node(self.db, name, **settings)
        self.nodes.append(node)
        return node
