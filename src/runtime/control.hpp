// Carries out what operators ask of nodes (rows of node_command): announced by a notification,
// found by a poll behind it, acknowledged per node.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "base/log_setup.hpp"
#include "base/service.hpp"
#include "runtime/node_state.hpp"
#include "runtime/tail_buffer.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Control final : public Service {
 public:
  Control(NodeState& state, ProcessLog& log);
  ~Control() override;
  std::string_view name() const override { return "control"; }
  boost::asio::awaitable<void> run() override;
  void wake() { wake_.ring(); }

 private:
  boost::asio::awaitable<void> carry_out_pending();
  /// What to acknowledge with: "ok" or a sentence.
  std::string carry_out(std::string_view command, const nlohmann::json& argument, std::chrono::milliseconds lifetime);
  boost::asio::awaitable<void> publish_tail();
  bool tailing() const { return state_.clock.mono() < tail_until_; }

  NodeState& state_;
  ProcessLog& log_;
  Wake wake_;
  TailBuffer tail_;
  Mono tail_until_{};
  bool tapped_ = false;
};

}  // namespace rowcrew
