"""Claims that take their time, by a trigger of the application on the job table."""


def slow_claims(db, table, each):
    db.execute("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep_for(TG_ARGV[0]::interval); RETURN NEW; END $$")
    db.execute(f"CREATE TRIGGER slow BEFORE UPDATE ON rowcrew.{table} FOR EACH ROW "
               f"WHEN (NEW.status = 'processing' AND OLD.status <> 'processing') EXECUTE FUNCTION slow('{each}')")


def claiming_slowly(db):
    return db.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'") > 0
