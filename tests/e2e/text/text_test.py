#!/usr/bin/python3
"""Text by model APIs, on real nodes: what comes out, what it costs, and what happens when a provider does not want."""
import json
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, SOURCE, FleetTest, run, wait_for  # noqa: E402
from support.text_apis import TextApis, fitting, made_of  # noqa: E402

KEYS = {"openai": "sk-openai-4711-secret", "anthropic": "sk-ant-0815-secret"}
# Micros per token: input, cached, written, output.
PRICES = {"gpt-5-mini": (0.25, 0.025, 0.25, 2.0), "gpt-5-nano": (0.05, 0.005, 0.05, 0.4), "claude-haiku-5-5": (0.10, 0.01, 0.125, 0.50)}
MODELS = {
    "openai": {"gpt-5-mini": {"input": "0.25", "cached": "0.025", "output": "2.00"}, "gpt-5-nano": {"input": 0.05, "cached": 0.005, "output": 0.40}},
    "anthropic": {"claude-haiku-5-5": {"input": "0.10", "cached": "0.01", "cache_write": "0.125", "output": "0.50"}},
}
PROMPT = "Tell nobody of the merger of Acme and Initech."


def cost_of(entry):
    plain, cached, written, made = PRICES[entry["model"]]
    exact = (entry["input"] - entry["cached"] - entry["written"]) * plain + entry["cached"] * cached + entry["written"] * written + entry["output"] * made
    return int(exact + 0.5 + 1e-9)


class Text(FleetTest):
    def setUp(self):
        super().setUp()
        self.apis = TextApis(KEYS)
        self.addCleanup(self.apis.close)
        self.db.execute("INSERT INTO rowcrew.job_type (name, backoff_base_ms, backoff_cap_ms) VALUES ('text', 100, 200)")

    def text_node(self, name="node", keys=None, **settings):
        keys = KEYS if keys is None else keys
        text = {provider: {"base_url": f"http://127.0.0.1:{self.apis.port}" + ("/v1" if provider == "openai" else ""), "timeout": "20s",
                           "models": MODELS[provider], **({"api_key": keys[provider]} if provider in keys else {})}
                for provider in MODELS}
        return self.node(name, program="rowcrewd", kinds={"text": text}, egress={"allow": [f"127.0.0.1:{self.apis.port}"]},
                         log={"level": "debug"}, **settings).ready()

    def ask(self, provider, prompt=PROMPT, model=None, attempts=5, **more):
        model = model or {"openai": "gpt-5-mini", "anthropic": "claude-haiku-5-5"}[provider]
        payload = {"provider": provider, "model": model, "prompt": prompt, "max_tokens": 500, **more}
        if payload["prompt"] is None:
            del payload["prompt"]
        return self.db.value("INSERT INTO rowcrew.job_queue (job_type, payload, max_attempts) VALUES ('text', %s, %s) RETURNING id", (json.dumps(payload), attempts))

    def row(self, job):
        return self.db.execute("SELECT status, result, error_code, error_message, attempts FROM rowcrew.job_queue WHERE id = %s", (job,))[0]

    def ended(self, *jobs, within=20):
        rows = [wait_for(f"{job} to end: {self.row(job)}", lambda: self.row(job)[0] in ("completed", "failed") and self.row(job), within) for job in jobs]
        return rows if len(rows) > 1 else rows[0]

    def completed(self, job, within=20):
        row = self.ended(job, within=within)
        self.assertEqual(row[0], "completed", row)
        return row

    def ledger(self):
        return self.db.execute("SELECT provider, model, external_id, outcome, cost_micros, estimated, job_id FROM rowcrew.provider_call ORDER BY at, outcome DESC")

    def snoozed(self, job):
        def reason():
            why = self.db.value("SELECT answer FROM rowcrew.why(%s)", (job,))
            return why["reason"] == "snoozed" and why

        return wait_for(f"{job} to be snoozed", reason)

    def now(self, *jobs):
        """An operator's hand."""
        self.db.execute("UPDATE rowcrew.job_queue SET scheduled_at = now() WHERE id = ANY (%s::uuid[])", (list(jobs),))

    def assert_discreet(self, *nodes):
        """No log has a key or anything of a prompt, and no message of a job either."""
        for node in nodes:
            log = node.log_path.read_text()
            for secret in (*KEYS.values(), "Acme", "merger", "sk-wrong"):
                self.assertNotIn(secret, log)
        told = self.db.execute("SELECT error_message FROM rowcrew.job_queue UNION ALL SELECT error_message FROM rowcrew.job_attempt")
        self.assertNotRegex(str(told), "Acme|merger|sk-")

    def test_text_comes_out_and_the_ledger_is_the_providers_journal(self):
        node = self.text_node()
        schema = {"type": "object", "properties": {"title": {"type": "string"}, "stars": {"type": "integer"}},
                  "required": ["title", "stars"], "additionalProperties": False}
        talk = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Two."}, {"role": "user", "content": "Three? <<cached 40>><<written 20>>"}]
        jobs = {}
        for provider in MODELS:
            jobs[provider, "plain"] = self.ask(provider, temperature=0.5, stop=["END"], system="Be brief.")
            jobs[provider, "shaped"] = self.ask(provider, json_schema=schema)
            jobs[provider, "talk"] = self.ask(provider, prompt=None, messages=talk)
        generation = self.db.value("INSERT INTO rowcrew.processing_jobs (type, provider, prompt, inputs) VALUES ('text', 'openai', %s, %s) RETURNING id",
                                   (PROMPT, json.dumps({"model": "gpt-5-nano", "max_tokens": 300})))
        for (provider, what), job in jobs.items():
            result = self.completed(job)[1]
            self.assertEqual(result["stop"], {"openai": "stop", "anthropic": "end_turn"}[provider])
            if what == "plain":
                self.assertEqual(result["text"], made_of("Be brief.\n" + PROMPT))
            if what == "shaped":
                self.assertEqual(result["json"], fitting(schema))
            if what == "talk":
                self.assertEqual(result["usage"]["cached"], 40)
        self.wait_finished(table="processing_jobs")
        journal = {entry["id"]: entry for entry in self.apis.billed()}
        ledger = {row[2]: row for row in self.ledger()}
        self.assertEqual(len(ledger), 7)
        self.assertEqual({name: (e["provider"], e["model"], cost_of(e)) for name, e in journal.items()},
                         {name: (row[0], row[1], row[4]) for name, row in ledger.items()})
        self.assertEqual({(row[3], row[5]) for row in ledger.values()}, {("done", False)})
        cost, name, outputs = self.db.execute("SELECT cost_micros, external_id, outputs FROM rowcrew.processing_jobs WHERE id = %s", (generation,))[0]
        self.assertEqual((cost, cost), (cost_of(journal[name]), outputs["cost_micros"]))
        lines = [json.loads(line) for line in run([BIN / "rowcrew", "--database", self.db.url, "spend", "--json"]).stdout.splitlines()]
        self.assertEqual(sum(line["cost_micros"] for line in lines), sum(map(cost_of, journal.values())))
        self.assert_discreet(node)

    def test_a_200_that_is_no_answer_is_paid_for_and_has_its_word(self):
        node = self.text_node()
        words = {("openai", "refuse"): "openai_refused", ("openai", "length"): "openai_cut", ("openai", "filter"): "openai_filtered",
                 ("anthropic", "refuse"): "anthropic_refused", ("anthropic", "length"): "anthropic_cut", ("anthropic", "pause"): "anthropic_paused"}
        jobs = {key: self.ask(key[0], f"{PROMPT} <<{key[1]}>>") for key in words}
        silent = self.ask("openai", PROMPT + " <<no-usage>>")
        quoted = self.ask("anthropic", PROMPT + " <<echo>>")
        for key, job in jobs.items():
            status, _, code, message, attempts = self.ended(job)
            self.assertEqual((status, code, attempts), ("failed", words[key], 1), message)
        self.assertEqual(self.completed(silent)[1]["usage"]["estimated"], True)
        self.assertEqual(self.ended(quoted)[2], "anthropic_bad_request")
        booked = {row[2]: row[3:6] for row in self.ledger()}
        billed = self.apis.billed()
        self.assertEqual(len(booked), 7)
        for entry in billed:
            if "no-usage" in entry["prompt"]:
                self.assertEqual((booked[entry["id"]][0], booked[entry["id"]][2]), ("done", True))
            else:
                self.assertEqual(booked[entry["id"]], ("blocked", cost_of(entry), False))
        self.assert_discreet(node)

    def test_the_function_of_the_readme_keeps_an_applications_own_books(self):
        readme = (SOURCE / "workers/text/README.md").read_text()
        self.db.execute("CREATE SCHEMA builder; INSERT INTO rowcrew.app VALUES ('builder', 'builder');"
                        "CREATE TABLE builder.ai_generations (id uuid PRIMARY KEY, status varchar(20) DEFAULT 'processing', model_used varchar(100), prompt_tokens integer,"
                        " completion_tokens integer, cost decimal(8,4), result_data jsonb, error_message text)")
        self.db.execute(re.search(r"```sql\n-- port\n(.*?)```", readme, re.DOTALL).group(1))
        self.text_node()
        good, bad = self.ask("openai", PROMPT * 100), self.ask("anthropic", PROMPT + " <<refuse>>")
        self.db.execute("INSERT INTO builder.ai_generations (id) VALUES (%s), (%s)", (good, bad))
        for statement in re.findall(r"```sql\n(SELECT.*?)```", readme, re.DOTALL):
            self.db.execute(statement)
        self.ended(good, bad)
        wait_for("the README's own jobs", lambda: self.db.unfinished() + self.db.unfinished("processing_jobs") == 0)
        self.assertEqual(self.db.execute("SELECT DISTINCT status FROM rowcrew.processing_jobs"), [("completed",)])
        billed = {entry["provider"]: entry for entry in self.apis.billed() if "Acme" in entry["prompt"]}
        rows = {row[0]: row[1:] for row in self.db.execute("SELECT id, status, model_used, prompt_tokens, completion_tokens, cost, error_message FROM builder.ai_generations")}
        entry = billed["openai"]
        self.assertEqual(rows[good][:4], ("completed", "gpt-5-mini-2026-01-01", entry["input"], entry["output"]))
        self.assertAlmostEqual(float(rows[good][4]), cost_of(entry) / 1e6, 4)
        self.assertEqual(rows[bad][0], "failed")
        self.assertIn("refuses", rows[bad][5])

    def test_limits_and_overload_cost_no_attempt(self):
        node = self.text_node()
        self.apis.script("openai", "rate_limit:1")
        self.apis.script("anthropic", "overloaded:1")
        jobs = [self.ask(provider) for provider in MODELS for _ in range(3)]
        for row in self.ended(*jobs):
            self.assertEqual((row[0], row[4]), ("completed", 1), row)
        closed = node.lines("provider.closed")
        self.assertEqual(sorted((line["provider"], line["code"], line["level"]) for line in closed),
                         [("anthropic", "anthropic_overloaded", "warning"), ("openai", "openai_rate_limited", "warning")])
        self.assertEqual(len(self.ledger()), 6)
        # A bucket that is filled at its own pace, and says so in its headers alone.
        for provider in MODELS:
            self.apis.limit(provider, 1, 0.8)
        jobs = [self.ask(provider) for provider in MODELS for _ in range(2)]
        for row in self.ended(*jobs):
            self.assertEqual((row[0], row[4]), ("completed", 1), row)
        self.assertGreaterEqual(self.apis.calls.count(("openai", "rate_limit")), 2)  # that of the script, too

    def test_a_key_that_is_refused_costs_no_attempt_and_one_that_is_right_ends_it(self):
        wrong = self.text_node("wrong", keys={"openai": "sk-wrong-key"})
        refused, keyless = self.ask("openai"), self.ask("anthropic")
        self.assertIn("openai", self.snoozed(refused)["text"])
        self.assertIn("has no key", self.snoozed(keyless)["text"])
        line = wrong.wait_event("provider.closed", code="openai_refuses_us")
        self.assertEqual(line["level"], "error")
        self.assertEqual(len(wrong.wait_lines("provider.no_key")), 1)
        self.assertEqual(wrong.stop()[0], 0)
        right = self.text_node("right")
        self.now(refused, keyless)
        for row in self.ended(refused, keyless):
            self.assertEqual((row[0], row[4]), ("completed", 1), row)
        self.assertEqual(len(self.ledger()), 2)
        self.assert_discreet(wrong, right)

    def test_a_budget_that_is_spent_stops_the_fleet_until_there_is_more(self):
        first = self.text_node("first")
        self.db.execute("INSERT INTO rowcrew.provider_budget (provider, day_micros) VALUES ('openai', 1)")
        self.completed(self.ask("openai"))
        second = self.text_node("second")
        waiting = [self.ask("openai") for _ in range(4)]
        other = self.ask("anthropic")
        for job in waiting:
            self.assertIn("midnight UTC", self.snoozed(job)["text"])
        self.completed(other)
        self.assertEqual([row[4] for row in map(self.row, waiting)], [0] * 4)
        self.assertEqual(len(self.apis.billed("openai")), 1)
        wait_for("the one line about it", lambda: len(first.lines("provider.budget_spent") + second.lines("provider.budget_spent")) == 1)
        self.db.execute("UPDATE rowcrew.provider_budget SET day_micros = 1000000")

        def open_again():  # what the nodes know is a second old at most
            self.now(*waiting)
            return all(self.row(job)[0] == "completed" for job in waiting)

        wait_for("all to go on", open_again, every=0.3)
        self.assertEqual([row[4] for row in map(self.row, waiting)], [1] * 4)

    def test_a_call_that_was_under_way_is_booked_as_lost_and_made_again(self):
        doomed = self.text_node("doomed", node={"lease": "2s"})
        job = self.ask("openai", PROMPT + " <<hold>>")
        wait_for("the call", self.apis.held.is_set)
        doomed.kill()
        self.apis.release()
        second = self.text_node("second", node={"lease": "2s", "stop_within": "1s"})
        self.completed(job, 30)
        # A job that is stopped is booked by the node that stops it, and gets its attempt back.
        self.apis.held.clear()
        self.apis.released.clear()
        stopped = self.ask("anthropic", PROMPT + " <<hold>>")
        wait_for("the other call", self.apis.held.is_set)
        self.assertEqual(second.stop()[0], 0)
        self.assertEqual(self.row(stopped)[4], 0)
        self.apis.release()
        third = self.text_node("third")
        reset = self.ask("openai", PROMPT + " <<reset-after>>")
        cut = self.ask("openai", PROMPT + " <<truncate>>")
        early = self.ask("openai", PROMPT + " <<html 502>>")
        self.completed(stopped)
        for row in self.ended(reset, cut, early):
            self.assertEqual((row[0], row[4]), ("failed", 5), row)
        outcomes = {str(name): [] for name in (job, stopped, reset, cut, early)}
        for row in self.ledger():
            outcomes[row[6]].append((row[3], row[5]))
        lost, done = ("lost", True), ("done", False)
        self.assertEqual(outcomes, {str(job): [lost, done], str(stopped): [lost, done], str(reset): [lost] * 5, str(cut): [lost] * 5, str(early): []})
        self.assertEqual(len(self.apis.billed()), sum(map(len, outcomes.values())))
        self.assert_discreet(doomed, second, third)

    def test_a_call_that_is_cancelled_or_too_slow_is_booked(self):
        self.db.execute("UPDATE rowcrew.job_type SET timeout_ms = 3000 WHERE name = 'text'")
        node = self.text_node()
        unwanted = self.ask("openai", PROMPT + " <<hold>>")
        wait_for("the call", self.apis.held.is_set)
        run([BIN / "rowcrew", "--database", self.db.url, "cancel", unwanted])
        wait_for("its end", lambda: self.row(unwanted)[0] == "cancelled")
        slow = self.ask("anthropic", PROMPT + " <<hold>>", attempts=1)
        status, _, code, _, _ = self.ended(slow)
        self.assertEqual((status, code), ("failed", "http_timeout"))
        self.assertEqual([row[3:6:2] + row[6:] for row in self.ledger()], [("lost", True, unwanted), ("lost", True, slow)])
        self.assert_discreet(node)


if __name__ == "__main__":
    unittest.main(verbosity=2)
