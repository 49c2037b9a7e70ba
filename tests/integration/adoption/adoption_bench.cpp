#include "adoption_bench.hpp"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

#include "cli/builtin.hpp"
#include "cli/cli_program.hpp"
#include "queue/table_map.hpp"

namespace rowcrew::testing {
namespace {

void replace_all(std::string& text, std::string_view from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
}

std::vector<std::int64_t> tokens_of(const std::vector<ClaimedJob>& jobs) {
  std::set<std::int64_t> tokens;
  for (const ClaimedJob& job : jobs) tokens.insert(job.job.claim_token);
  return {tokens.begin(), tokens.end()};
}

}  // namespace

const AdoptedFixture kAdoptedFixtures[5] = {
    {"django", "studio.api_imagejob", "studio_api_imagejob", "status", "(prompt) SELECT 'p' || n", {"pending", "processing", "completed", "failed"}},
    {"prisma", "realign.\"ProcessingJob\"", "realign_processingjob", "status",
     "(id, \"updatedAt\", \"inputPrompt\") SELECT 'c,\"' || n || '''k', '2020-01-01', 'p' || n", {"PENDING", "PROCESSING", "COMPLETED", "FAILED"}},
    {"jobs", "public.jobs", "public_jobs", "status",
     "(drive_file_id, drive_file_name, drive_folder_id, preset_name) SELECT 'f' || n, 'n', 'd', 'portrait_pro'", {"queued", "processing", "completed", "failed"}},
    {"job_queue", "public.job_queue", "public_job_queue", "status", "(job_type, payload) SELECT 'noop', jsonb_build_object('n', n)",
     {"pending", "processing", "completed", "failed"}},
    {"rails", "shop.background_jobs", "shop_background_jobs", "state", "(handler) SELECT 'noop'", {"queued", "running", "done", "failed"}},
};

const AdoptedFixture& adopted_fixture(std::string_view map) {
  for (const AdoptedFixture& fixture : kAdoptedFixtures) {
    if (fixture.map == map) return fixture;
  }
  throw std::runtime_error("no such fixture");
}

std::string read_text(const std::string& path) {
  const char* source = std::getenv("ROWCREW_SOURCE");
  std::ifstream file(std::string(source != nullptr ? source : ".") + "/tests/" + path);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

AdoptionBench::AdoptionBench(std::string_view map) : fixture(adopted_fixture(map)), pool(db.options(), log) {
  db.exec(read_text("support/adopted/tables.sql"));
}

CommandAnswer AdoptionBench::rowcrew(std::vector<std::string> args) {
  args.insert(args.begin(), {"--database", command_url.empty() ? db.url() : command_url});
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  const int code = cli::run_cli(args, cli::commands(), {{}, in, out, err, false});
  return {code, out.str(), err.str()};
}

CommandAnswer AdoptionBench::adopt(const std::string& text, const std::vector<std::string>& more) {
  char path[] = "/tmp/rowcrew-map-XXXXXX";
  const int fd = ::mkstemp(path);
  REQUIRE(fd >= 0);
  REQUIRE(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  ::close(fd);
  std::vector<std::string> args{"adopt", "--map", path};
  args.insert(args.end(), more.begin(), more.end());
  CommandAnswer answer = rowcrew(std::move(args));
  ::unlink(path);
  return answer;
}

std::string AdoptionBench::map_text() const { return read_text(std::string("support/adopted/") + fixture.map + ".yaml"); }

void AdoptionBench::serve() {
  const CommandAnswer answer = adopt(map_text());
  CAPTURE(answer.out);
  CAPTURE(answer.err);
  REQUIRE(answer.code == 0);
  reopen();
}

void AdoptionBench::reopen() {
  const Rows rows = db.query("SELECT epoch, template FROM rowcrew.adopted_table WHERE name = $1", Params{}.add(fixture.name));
  REQUIRE(rows.size() == 1);
  const TableMap map = adopted_table_map(fixture.name, rows.integer(0, 0), rows.text(0, 1));
  jobs = std::make_unique<JobTable>(pool, map);
  control = std::make_unique<JobControl>(pool, map);
}

std::string AdoptionBench::named(std::string_view sql) const {
  std::string text(sql);
  replace_all(text, "{t}", fixture.table);
  replace_all(text, "{id}", "id");
  replace_all(text, "{s}", fixture.status);
  for (const char* companion : {"ready", "parked", "limited", "claim", "job"}) {
    replace_all(text, std::string("{") + companion + "}", std::string("rowcrew.") + fixture.name + "_" + companion);
  }
  const char* const states[] = {"{pending}", "{processing}", "{completed}", "{failed}"};
  for (int i = 0; i < 4; ++i) replace_all(text, states[i], std::string("'") + fixture.words[i] + "'");
  return text;
}

Rows AdoptionBench::query(std::string_view sql, const Params& params) {
  const std::string& text = *texts_.insert(named(sql)).first;
  return await(pool.query(Statement{text, text}, params));
}

std::string AdoptionBench::value(std::string_view sql, const Params& params) { return std::string(query(sql, params).text(0, 0)); }

Ids AdoptionBench::insert(int count) {
  const Rows rows = query(std::string("INSERT INTO {t} ") + fixture.insert + " FROM generate_series(1, $1::int) n RETURNING id::text", Params{}.add(count));
  Ids ids;
  for (std::size_t i = 0; i < rows.size(); ++i) ids.emplace_back(rows.text(i, 0));
  return ids;
}

std::string AdoptionBench::status(const std::string& id) { return value("SELECT {s}::text FROM {t} WHERE id::text = $1::text", Params{}.add(id)); }

std::string AdoptionBench::hints(const std::string& id) {
  return value(
      "SELECT coalesce(string_agg(hint, '+' ORDER BY hint), 'none') FROM ("
      "SELECT 'ready' FROM {ready} WHERE id::text = $1::text UNION ALL "
      "SELECT 'limited' FROM {limited} WHERE id::text = $1::text UNION ALL "
      "SELECT 'parked:' || reason FROM {parked} WHERE id::text = $1::text) h (hint)",
      Params{}.add(id));
}

NodeIdentity AdoptionBench::node() {
  const Rows rows = query(
      "INSERT INTO rowcrew.node (epoch, lease_ms, name, host, pid, version, queues) "
      "VALUES (11, 30000, 'node', 'host', 1, '0', '{default}') RETURNING node_id");
  return {rows.integer(0, 0), 11};
}

std::vector<ClaimedJob> AdoptionBench::claim(NodeIdentity by, std::size_t count) {
  ClaimWant want;
  want.queue = "default";
  want.count = count;
  want.marks.assign(10, "-infinity");
  return await(jobs->claim(next_token++, by, {want}));
}

Ids AdoptionBench::complete(const std::vector<ClaimedJob>& claimed) {
  return await(jobs->finish_completed(ended(claimed, Outcome(Completed())), tokens_of(claimed)));
}

Ids AdoptionBench::end(const std::vector<ClaimedJob>& claimed, const Outcome& outcome) {
  return await(jobs->finish_ended(ended(claimed, outcome), 1, tokens_of(claimed)));
}

}  // namespace rowcrew::testing
