#!/usr/bin/python3
"""What README and manual let a newcomer type, on a node that is configured as the package configures it."""
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, SOURCE, FleetTest, run, wait_for  # noqa: E402

MANUAL = [SOURCE / "README.md", *SOURCE.glob("docs/*.md"), *SOURCE.glob("workers/*/README.md"), *SOURCE.glob("sql/apps/*/README.md")]


def anchors(page):
    """What GitHub makes of the headings of a page."""
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)}


class Readme(FleetTest):
    def environment(self, **more):
        ours = {k: v for k, v in os.environ.items() if not k.startswith("ROWCREW_")}
        return {**ours, "ROWCREW_DATABASE_URL": self.db.url, **more}

    @contextlib.contextmanager
    def packaged_node(self):
        with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
                [BIN / "rowcrewd", "--config", SOURCE / "etc/default.yaml"], cwd=folder, env=self.environment(),
                stdout=subprocess.DEVNULL) as node:
            try:
                yield
            finally:
                node.terminate()

    def test_the_first_statements_run_as_written_and_so_do_their_jobs(self):
        block = re.search(r"```sql\n-- psql\n(.*?)```", (SOURCE / "README.md").read_text(), re.DOTALL).group(1)
        written = "".join(line for line in block.splitlines(True) if "…" not in line)  # those want an id
        self.assertEqual(written.count("hello"), 4)
        with self.packaged_node():
            self.db.execute(written)
            wait_for("what is due", lambda: self.db.counts() == {"completed": 2, "pending": 1}, 20)

    def test_a_function_that_it_names_is_described_in_the_database(self):
        named = {"resume", "cancel", "limit_remove"} | {
            name for page in MANUAL for name in re.findall(r"rowcrew\.([a-z_0-9]+)\(", page.read_text())}
        self.assertTrue({"enqueue_many", "job_uuid", "emit"} <= named)
        described = self.db.execute("SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'rowcrew'::regnamespace"
                                  " GROUP BY 1 HAVING bool_and(obj_description(p.oid, 'pg_proc') IS NOT NULL)")
        self.assertEqual(named - {name for name, in described}, set())

    def test_a_link_leads_to_what_is_there(self):
        for page in MANUAL:
            for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text()):
                led = (page.parent / target).resolve() if target else page
                with self.subTest(page=page.relative_to(SOURCE), link=target or anchor):
                    self.assertTrue(led.exists())
                    self.assertIn(anchor or "", anchors(led) | {""} if led.suffix == ".md" else {""})

    def test_a_command_enqueues_as_written(self):
        line = next(line for line in (SOURCE / "README.md").read_text().splitlines() if line.startswith("rowcrew enqueue "))
        with self.packaged_node():
            run(["sh", "-c", line], env=self.environment(PATH=f"{BIN}:{os.environ['PATH']}"))
            wait_for("the job", lambda: self.db.counts() == {"completed": 1}, 20)


if __name__ == "__main__":
    unittest.main(verbosity=2)
