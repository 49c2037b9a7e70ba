#include "programs/dev/dev_session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <ostream>
#include <rowcrew/error.hpp>
#include <thread>

#include "programs/dev/dev_config.hpp"
#include "programs/dev/dev_samples.hpp"
#include "programs/dev/dev_table.hpp"
#include "programs/dev/dev_verdict.hpp"

namespace rowcrew::dev {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto kStartLimit = 30s;
constexpr auto kStopLimit = 20s;  // above the node's stop_within
constexpr auto kStartTick = 20ms;
constexpr auto kTick = 150ms;
constexpr std::size_t kShownLines = 15;

void write_file(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text << std::flush;
  if (!file) throw ConfigError(fmt::format("{}: cannot be written", path.string()));
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw ConfigError(fmt::format("{}: {}", path.string(), error.message()));
}

/// What follows `key` in `text`, as far as it is digits.
std::string digits_behind(std::string_view text, std::string_view key) {
  const auto at = text.find(key);
  if (at == text.npos) return {};
  text.remove_prefix(at + key.size());
  return std::string(text.substr(0, text.find_first_not_of("0123456789")));
}

std::string told(const Child& child, const std::string& sentence) {
  return fmt::format("{}: {}; the last lines of {}:\n{}", child.name(), sentence,
                     child.log().string(), child.last_lines(kShownLines));
}

}  // namespace

DevSession::DevSession(const DevOptions& options, const PoolOptions& connection,
                       StopSignals& signals, std::ostream& out, std::ostream& err, bool terminal)
    : options_(options),
      url_(connection.url),
      database_(connection),
      signals_(signals),
      out_(out),
      err_(err),
      view_(terminal) {}

void DevSession::say(const std::string& line) { out_ << view_.finish() << line << std::endl; }

int DevSession::run() {
  bool good = true;
  bool ready = false;
  try {
    prepare();
    start_programs();
    ready = true;
    watch();
  } catch (const TransientError& e) {
    out_ << view_.finish() << std::flush;
    err_ << "rowcrew dev: " << e.what() << std::endl;
    good = false;
  } catch (...) {
    stop_programs();
    throw;
  }
  good = stop_programs() && good;
  if (ready) good = report() && good;
  return good ? 0 : 1;
}

void DevSession::prepare() {
  for (const fs::path& folder :
       {options_.inbox, options_.portraits(), options_.mails(), options_.logs()}) {
    make_folder(folder);
  }
  if (!options_.samples.empty()) expected_ = read_expected(options_.samples);
  write_file(options_.logs() / "migrate.log", database_.migrate());
  joined_ = database_.join(options_.inbox.string(), options_.portraits().string());
  after_ = joined_.since;
}

void DevSession::start_programs() {
  const auto program = [&](const char* name) { return (options_.programs / name).string(); };
  receiver_ = &start("listen", {program("rowcrew"), "listen", "--json"},
                     {{"ROWCREW_LISTEN_SECRET", joined_.secret}});
  if (!wait_for(*receiver_, "\"listening\"")) return;
  verified_.take(receiver_->output());
  database_.set_endpoint(joined_, verified_.url() + "/dev");

  const fs::path ingest_yaml = options_.state / "ingest.yaml";
  write_file(ingest_yaml, ingest_config());
  Child& ingest = start("ingest", {program("rowcrew-ingest"), "--config", ingest_yaml.string()},
                        {{"ROWCREW_DATABASE_URL", url_}});
  if (!wait_for(ingest, "event=ingest.ready")) return;
  const std::string port = digits_behind(ingest.output(), " port=");

  const fs::path node_yaml = options_.state / "node.yaml";
  const std::string address = verified_.url().substr(std::string_view("http://").size());
  write_file(node_yaml,
             node_config(options_, address, std::max(1U, std::thread::hardware_concurrency())));
  Child& node = start("node", {program("rowcrewd"), "--config", node_yaml.string()},
                      {{"ROWCREW_DATABASE_URL", url_}});
  if (!wait_for(node, "event=node.ready")) return;
  say(fmt::format("node, ingest (http://127.0.0.1:{}) and webhook receiver ({}) are running", port,
                  verified_.url()));
}

Child& DevSession::start(const std::string& name, std::vector<std::string> argv,
                         std::vector<std::pair<std::string, std::string>> environment) {
  ChildStart made{name, std::move(argv), std::move(environment), options_.logs() / (name + ".log")};
  programs_.push_back(std::make_unique<Child>(std::move(made)));
  return *programs_.back();
}

bool DevSession::wait_for(Child& child, std::string_view words) {
  const auto until = std::chrono::steady_clock::now() + kStartLimit;
  for (;;) {
    const std::string output = child.output();
    const auto at = output.find(words);
    if (at != output.npos && output.find('\n', at) != output.npos) return true;
    if (const auto end = child.wait(0ms)) {
      const std::string sentence = fmt::format("ended while starting ({})", *end);
      throw TransientError("child_ended", told(child, sentence));
    }
    if (std::chrono::steady_clock::now() > until) {
      const std::string sentence = fmt::format("not ready within {} s", kStartLimit.count());
      throw TransientError("child_slow", told(child, sentence));
    }
    if (signals_.wait(kStartTick)) return false;
  }
}

void DevSession::check_programs() {
  for (const auto& child : programs_) {
    if (const auto end = child->wait(0ms)) {
      throw TransientError(
          "child_ended",
          told(*child, fmt::format("ended by itself ({})", end->empty() ? "status 0" : *end)));
    }
  }
}

void DevSession::watch() {
  if (signals_.stopped()) return;
  if (!options_.samples.empty()) {
    const std::size_t copied = copy_samples(options_.samples, expected_, options_.inbox);
    say(fmt::format("{} of {} samples copied into the inbox", copied, expected_.size()));
  }
  say(fmt::format("watching {}, results come into {}", options_.inbox.string(),
                  options_.portraits().string()));
  if (!options_.once) say("drop a photo into the inbox; Ctrl-C stops everything");
  const auto until = std::chrono::steady_clock::now() + options_.within;
  while (!step() && !signals_.wait(kTick)) {
    check_programs();
    if (options_.once && std::chrono::steady_clock::now() > until) {
      late_ = true;
      break;
    }
  }
}

bool DevSession::step() {
  verified_.take(receiver_->output(verified_.bytes()));
  Look look;
  try {
    look = database_.look(joined_, after_, options_.once);
  } catch (const Error& e) {
    // The programs outlive a database that is away for a while, and so do we.
    if (e.error_class() != ErrorClass::transient) throw;
    return false;
  }
  look.counts.webhooks_verified = static_cast<std::int64_t>(verified_.ids().size());
  std::vector<EndedPhoto> fresh;
  for (EndedPhoto& photo : look.ended) {
    after_ = std::max(after_, photo.ended_at);
    // Ended again (by hand, or after its file was back): a line again.
    if (shown_.insert(photo.id + photo.ended_at).second) fresh.push_back(std::move(photo));
  }
  out_ << view_.update(fresh, look.counts) << std::flush;
  return options_.once && all_ended(expected_, look.outcomes) && look.counts.polled &&
         look.counts.waiting == 0 && look.counts.messages_waiting == 0;
}

bool DevSession::stop_programs() {
  bool good = true;
  // The node first, so that it can hand back what runs while all others are there.
  for (auto child = programs_.rbegin(); child != programs_.rend(); ++child) {
    if ((*child)->wait(0ms)) continue;  // told already
    const std::string end = (*child)->stop(kStopLimit);
    if (end.empty()) continue;
    err_ << "rowcrew dev: " << told(**child, fmt::format("ended with {}", end)) << std::flush;
    good = false;
  }
  return good;
}

bool DevSession::report() {
  verified_.take(receiver_->output(verified_.bytes()));
  Look look = database_.look(joined_, after_, true);
  look.counts.webhooks_verified = static_cast<std::int64_t>(verified_.ids().size());
  const Places places{options_.inbox.string(), options_.portraits().string(),
                      (options_.mails() / "new").string(), options_.logs().string()};
  say("\n" + summary_table(look.counts, database_.stages(), database_.speed(joined_), places));
  if (!options_.once || signals_.stopped()) return true;
  const auto exists = [](const std::string& path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored);
  };
  auto found = differences(expected_, look.outcomes, verified_.ids(), exists);
  if (late_) {
    found.push_back(fmt::format("{} photos and {} messages still waited after {} s",
                                look.counts.waiting, look.counts.messages_waiting,
                                options_.within.count() / 1000));
  }
  for (const std::string& line : found) err_ << "not as expected: " << line << std::endl;
  if (found.empty() && !expected_.empty()) {
    say(fmt::format("all {} samples ended as expected", expected_.size()));
  }
  return found.empty();
}

}  // namespace rowcrew::dev
