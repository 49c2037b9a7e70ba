// Writes what running handlers say of themselves: together, at most once a second per job, fenced.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <rowcrew/progress.hpp>

#include "base/service.hpp"
#include "queue/job_control.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Progress final : public Service, public JobProgress {
 public:
  explicit Progress(NodeState& state);
  std::string_view name() const override { return "progress"; }
  boost::asio::awaitable<void> run() override;

  void report(const Job& job, std::optional<int> percent, std::optional<std::string> note, std::optional<std::string> checkpoint) override;
  boost::asio::awaitable<std::string> last_checkpoint(const Job& job) override;

  /// Whether a checkpoint of this execution is not written yet.
  bool waits(const RunningJob& running) const;
  /// Writes it now, again and again where it fails: without a database the end could not be written either. But a
  /// checkpoint is worth half a minute, not the job's end.
  boost::asio::awaitable<void> flush_one(const RunningJob& running);

 private:
  using Key = std::pair<std::string, std::string>;  ///< table, id
  using Words = std::map<Key, ProgressWord>;
  boost::asio::awaitable<void> flush_table(std::size_t table);
  boost::asio::awaitable<void> write(std::size_t table, std::vector<ProgressWord> batch);
  void keep(std::size_t table, const std::vector<ProgressWord>& words);
  const ProgressWord* find(const Job& job) const;

  NodeState& state_;
  Words words_;
  Words sending_;  ///< on their way: not known to be there
  Wake wake_;
};

}  // namespace rowcrew
