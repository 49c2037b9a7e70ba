#include "runtime/progress.hpp"

#include <set>
#include <string_view>

#include "base/event.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {
using namespace std::chrono_literals;
constexpr auto kEvery = 1s;
constexpr auto kPatience = 30s;  // with a checkpoint that keeps its job from ending
constexpr std::size_t kMaxBatch = 500;
}  // namespace

Progress::Progress(NodeState& state) : state_(state), wake_(state.executor, state.clock) {}

void Progress::report(const Job& job, std::optional<int> percent, std::optional<std::string> note, std::optional<std::string> checkpoint) {
  const bool first = words_.empty();
  ProgressWord& word = words_[{job.table, job.id}];
  if (word.token != job.claim_token) word = ProgressWord{};  // of an execution that lost its claim
  word.id = job.id;
  word.token = job.claim_token;
  if (percent) word.percent = percent;
  if (note) word.note = std::move(note);
  if (checkpoint) word.checkpoint = std::move(checkpoint);
  if (first) wake_.ring();
}

/// The newest checkpoint that is not known to be in the database.
const ProgressWord* Progress::find(const Job& job) const {
  for (const Words* words : {&words_, &sending_}) {
    if (words->empty()) continue;  // most jobs say nothing
    const auto at = words->find({job.table, job.id});
    if (at != words->end() && at->second.token == job.claim_token && at->second.checkpoint) return &at->second;
  }
  return nullptr;
}

asio::awaitable<std::string> Progress::last_checkpoint(const Job& job) {
  if (const ProgressWord* word = find(job)) co_return *word->checkpoint;
  for (const auto& table : state_.tables) {
    if (table->table.name() == job.table) co_return co_await table->control.last_checkpoint(job.table, job.id);
  }
  co_return std::string();
}

bool Progress::waits(const RunningJob& running) const { return find(running.job) != nullptr; }

asio::awaitable<void> Progress::flush_one(const RunningJob& running) {
  const std::size_t table = running.table;
  const Mono until = state_.clock.mono() + kPatience;
  std::chrono::milliseconds pause = 50ms;
  const Key key{running.job.table, running.job.id};
  for (;;) {
    // An older word that is on its way, over another connection, could come later than this one and stay.
    while (sending_.contains(key) && state_.clock.mono() < until) co_await state_.clock.sleep_until(state_.clock.mono() + 5ms);
    if (!waits(running)) co_return;
    std::vector<ProgressWord> one{*find(running.job)};
    words_.erase({running.job.table, running.job.id});
    co_await write(table, std::move(one));
    const Mono again = state_.clock.mono() + pause;
    if (!waits(running) || again > until || state_.stopping || !state_.holds_lease()) co_return;
    if (running.reason == StopReason::claim_lost) co_return;
    co_await state_.clock.sleep_until(again);
    if (!waits(running)) co_return;
    pause = std::min<std::chrono::milliseconds>(pause * 2, kEvery);
  }
}

asio::awaitable<void> Progress::run() {
  for (;;) {
    while (words_.empty()) co_await wake_.wait_until(state_.clock.mono() + 1h);
    for (std::size_t table = 0; table < state_.tables.size(); ++table) co_await flush_table(table);
    // What is said meanwhile is written together, later.
    co_await state_.clock.sleep_until(state_.clock.mono() + kEvery);
  }
}

/// Goes through the jobs in order, each once: beginning anew with every batch, the first few hundred that never stop
/// talking would be all that is ever heard.
asio::awaitable<void> Progress::flush_table(std::size_t table) {
  const std::string& name = state_.tables[table]->table.name();
  Key last(name, std::string());
  bool more = true;
  while (more) {
    std::vector<ProgressWord> batch;
    for (auto at = words_.upper_bound(last); at != words_.end() && at->first.first == name && batch.size() < kMaxBatch;) {
      last = at->first;
      batch.push_back(at->second);
      sending_[at->first] = std::move(at->second);
      at = words_.erase(at);
    }
    more = batch.size() == kMaxBatch;
    if (!batch.empty()) co_await write(table, std::move(batch));
    sending_.clear();
  }
}

/// What was not written goes with the next, unless the job has said something since, or has ended.
void Progress::keep(std::size_t table, const std::vector<ProgressWord>& words) {
  for (const ProgressWord& word : words) {
    const RunningJobs::Ref running = state_.running.find(table, word.id);
    if (!running || running->job.claim_token != word.token) continue;
    words_.emplace(Key{state_.tables[table]->table.name(), word.id}, word);
    wake_.ring();  // or whoever reports next would think that it had been
  }
}

asio::awaitable<void> Progress::write(std::size_t table, std::vector<ProgressWord> batch) {
  bool apart = false;
  try {
    const std::vector<std::string> written = co_await state_.tables[table]->control.write_progress(batch);
    const std::set<std::string_view> there(written.begin(), written.end());
    std::erase_if(batch, [&](const ProgressWord& word) { return there.contains(word.id); });
    keep(table, batch);  // their rows are locked, or the claim is lost, which the reconciler finds out
  } catch (const Error& e) {
    state_.log.debug(event::kJobProgress, {{"code", e.code()}}, e.what());
    apart = e.error_class() == ErrorClass::permanent && batch.size() > 1;
    if (e.error_class() == ErrorClass::transient) keep(table, batch);
  }
  if (!apart) co_return;
  // One that the database refuses must not silence its neighbours.
  for (ProgressWord& word : batch) {
    std::vector<ProgressWord> one{std::move(word)};
    co_await write(table, std::move(one));
  }
}

}  // namespace rowcrew
