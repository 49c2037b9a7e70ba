// Rescues the jobs of dead nodes. Runs on every node, on the engine's own connections, and needs no
// slot. A job whose row refuses what is written (a trigger or a constraint of the application) keeps no
// other from being rescued: it is left out for a while.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/service.hpp"
#include "queue/statement_size.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Reaper final : public Service {
 public:
  Reaper(NodeState& state, std::function<void()> rescued);
  std::string_view name() const override { return "reaper"; }
  boost::asio::awaitable<void> run() override;
  void wake() { wake_.ring(); }

 private:
  boost::asio::awaitable<void> reap_table(JobTable& table);
  void report(const JobTable& table, const ReapedPage& page);
  boost::asio::awaitable<bool> reap_in_pieces(JobTable& table, std::int64_t after);
  std::vector<std::string> left_out(const JobTable& table);

  NodeState& state_;
  std::function<void()> rescued_;
  Wake wake_;
  std::map<std::string, StatementSize, std::less<>> sizes_;  ///< by table: of what is rescued in pieces
  std::map<std::string, std::map<std::string, Mono>, std::less<>> left_out_;  ///< by table, then job: until when
};

}  // namespace rowcrew
