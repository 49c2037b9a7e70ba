#!/usr/bin/python3
"""Jobs with large payloads: claims stay short and a node small, and each job gets its own."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.adopted import adopt, create_tables, map_text, words  # noqa: E402
from support.fleet import FleetTest, wait_for  # noqa: E402

MEGABYTE = 1 << 20
# What does not shrink when it is stored.
LARGE = "(SELECT string_agg(md5(random()::text || g), '') FROM generate_series(1, 32768) g)"
KEEP = {"sql": {"allow": {"keep": {"function": "public.keep"}}}}


class LargePayload(FleetTest):
    def setUp(self):
        super().setUp()
        self.db.execute("CREATE TABLE kept (n int, bytes int);"
                        "CREATE FUNCTION public.keep(args jsonb) RETURNS void LANGUAGE sql AS"
                        " $$ INSERT INTO public.kept VALUES ((args ->> 'n')::int, length(args ->> 'text')) $$")

    def kept(self):
        return self.db.execute("SELECT count(*), count(DISTINCT n), min(bytes), max(bytes) FROM kept")[0]

    def test_a_gigabyte_of_payloads_passes_through_a_node_that_holds_only_what_runs(self):
        self.db.execute(f"INSERT INTO rowcrew.job_queue (job_type, payload) SELECT 'noop', jsonb_build_object('text', x.text) FROM {LARGE} x (text),"
                        " generate_series(1, 1000)")
        node = self.node("node", queues={"default": 200}).ready()
        wait_for("all to end", lambda: self.db.counts() == {"completed": 1000}, 120)
        with open(f"/proc/{node.pid}/status") as status:
            peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
        self.assertEqual(node.stop()[0], 0, node.tail())
        self.assertLess(peak, 400 * MEGABYTE)  # two hundred at once

    def test_every_job_gets_its_own_whether_it_came_with_the_claim_or_not(self):
        self.db.execute(f"INSERT INTO rowcrew.job_queue (job_type, payload) SELECT 'sql', jsonb_build_object('entry', 'keep', 'args', jsonb_build_object('n', n, 'text',"
                        f" CASE WHEN n % 2 = 0 THEN x.text ELSE '' END)) FROM {LARGE} x (text), generate_series(1, 40) n")
        node = self.node("node", program="rowcrewd", kinds=KEEP).ready()
        wait_for("all to end", lambda: self.db.counts() == {"completed": 40})
        self.assertEqual(self.kept(), (40, 40, 0, MEGABYTE))
        self.assertEqual(node.stop()[0], 0, node.tail())

    def test_a_job_of_an_adopted_table_gets_its_own_too(self):
        create_tables(self.db)
        self.db.execute("ALTER TABLE jobs ALTER drive_file_name TYPE text")
        text = map_text("jobs").replace("job_type: noop", "job_type: flaky")
        before = "payload: jsonb_build_object('file', drive_file_id, 'preset', preset_name)"
        adopt(self.db, "jobs", text=text.replace(before, "payload: jsonb_build_object('fail', 0, 'text', drive_file_name)"))
        self.db.execute(f"INSERT INTO jobs (drive_file_id, drive_file_name, drive_folder_id, preset_name) VALUES ('f', {LARGE}, 'd', 'portrait_pro')")
        node = self.node("node").ready()
        wait_for("it to end", lambda: words(self.db, "jobs") == {"completed": 1})
        self.assertEqual(node.lines("job.retry"), [])  # as it would without "fail"
        self.assertEqual(node.stop()[0], 0, node.tail())


if __name__ == "__main__":
    unittest.main()
