#!/usr/bin/python3
"""Jobs that are scheduled, and producers that commit them late."""
import pathlib
import sys
import time
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import FleetTest, wait_for  # noqa: E402

INSERT = """
INSERT INTO rowcrew.job_queue (job_type, payload, scheduled_at)
VALUES ('command', '{"entry": "true"}', clock_timestamp() + interval '200 ms') RETURNING id
"""
OPEN_S = 4     # longer than what a look allows producers for
WITHIN_S = 3   # two, and what a busy machine adds; heartbeats come upon it after four and more


class Scheduled(FleetTest):
    def test_a_job_that_is_committed_long_after_its_time_starts_although_others_went_before(self):
        node = self.node("one", kinds={"command": {"allow": {"true": {"argv": ["/bin/true"]}}}}).ready()
        node.wait_event("listener.ready")
        producer = psycopg2.connect(self.db.url)
        self.addCleanup(producer.close)
        with producer.cursor() as cursor:
            cursor.execute(INSERT)
            late = cursor.fetchone()[0]
        opened = time.monotonic()
        while time.monotonic() - opened < OPEN_S:
            self.ended(self.db.execute(INSERT)[0][0], 10)
        producer.commit()
        committed = time.monotonic()
        self.ended(late, 30)
        took = time.monotonic() - committed
        print(f"ended {took:.1f} s after its commit")
        self.assertLess(took, WITHIN_S)

    def test_retention_that_has_waited_for_hours_comes_first(self):
        job = self.db.value("SELECT rowcrew.enqueue('retention', p_unique_key => 'schedule:rowcrew.retention', p_priority => 9)")
        self.db.execute("UPDATE rowcrew.job_queue SET scheduled_at = clock_timestamp() - interval '7 hours'")
        self.node("one", node={"audit_every": "500ms"}, queues={"mail": 1}).ready()  # as if every slot were taken
        wait_for("it to be first", lambda: self.db.value("SELECT priority FROM rowcrew.job_queue WHERE id = %s", (job,)) == 0)
        self.node("two").ready()
        self.ended(job, 30)

    def test_a_job_that_a_death_has_met_runs_again_when_its_delay_is_over(self):
        self.db.execute("INSERT INTO rowcrew.job_type (name, retry_delays_ms) VALUES ('throw', '{400}')")
        node = self.node("one").ready()
        node.wait_event("listener.ready")
        wait_for("it to lead", lambda: self.db.value("SELECT count(*) FROM rowcrew.gate") == 1, 10)
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, max_attempts, crashes) VALUES ('throw', 3, 1), ('throw', 3, 2)")
        # A heartbeat comes upon each of the delays five to ten seconds later.
        wait_for("three attempts of each", lambda: self.db.counts() == {"failed": 2}, 8)

    def test_scheduled_jobs_of_all_tables_start_although_one_waits_for_infinity(self):
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, scheduled_at) VALUES ('tried', 'infinity'), ('tried', '9999-12-31')")
        self.node("one").ready()
        for table, column in (("job_queue", "job_type"), ("processing_jobs", "type")):
            self.db.execute(f"INSERT INTO rowcrew.{table} ({column}, queue, scheduled_at) VALUES ('tried', 'default', now() + interval '300 ms')")
        for table in ("job_queue", "processing_jobs"):
            wait_for(f"the job of {table}", lambda t=table: self.db.counts(t).get("completed") == 1, 10)

    def test_scheduled_jobs_of_one_table_start_although_those_of_another_cannot_be_promoted(self):
        self.db.execute("""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not here'; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON rowcrew.job_queue_ready FOR EACH ROW EXECUTE FUNCTION refuse()""")
        node = self.node("one").ready()
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, scheduled_at) VALUES ('tried', now() + interval '300 ms')")
        node.wait_event("work.failing", within=10, what="scheduled jobs", of="job_queue")
        self.db.execute("INSERT INTO rowcrew.processing_jobs (type, queue, scheduled_at) VALUES ('tried', 'default', now() + interval '300 ms')")
        wait_for("the job of the other table", lambda: self.db.counts("processing_jobs").get("completed") == 1, 10)

    def test_a_schedule_whose_job_is_refused_is_named_and_stops_no_other(self):
        self.db.execute("""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not here'; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON rowcrew.job_queue FOR EACH ROW WHEN (NEW.job_type = 'refused') EXECUTE FUNCTION refuse();
            INSERT INTO rowcrew.schedule (name, every_ms, job_type) VALUES ('bad', 1000, 'refused'), ('good', 1000, 'tried')""")
        node = self.node("one").ready()
        wait_for("two jobs of the other schedule", lambda: self.db.counts().get("completed", 0) >= 2, 10)
        node.wait_event("work.failing", within=10, what="schedules", of="bad")

    def test_a_moment_that_is_skipped_for_a_job_that_still_runs_is_told_in_the_log(self):
        self.db.execute("INSERT INTO rowcrew.schedule (name, cron, job_type, overlap, created_at) "
                        "VALUES ('nightly', '* * * * *', 'nobody', false, now() - interval '2 minutes')")
        job = self.db.value("SELECT rowcrew.enqueue('nobody', p_unique_key => 'schedule:nightly')")
        node = self.node("one").ready()
        self.assertEqual(node.wait_event("tick.skipped", within=20, schedule="nightly")["job"], str(job))

    def ended(self, job, within):
        wait_for(f"job {job}", lambda: self.db.value("SELECT status FROM rowcrew.job_queue WHERE id = %s", (job,)) == "completed",
                 within, every=0.01)


if __name__ == "__main__":
    unittest.main(verbosity=2)
