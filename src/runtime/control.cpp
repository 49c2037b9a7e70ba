#include "runtime/control.hpp"

#include <nlohmann/json.hpp>

#include "base/event.hpp"
#include "sql_queries.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {
using namespace std::chrono_literals;
constexpr auto kPoll = 10s;
constexpr auto kPollListening = 10min;  // commands are announced, and heartbeats tell of them
constexpr auto kTailTick = 200ms;
constexpr int kChunksPerTick = 20;
}  // namespace

Control::Control(NodeState& state, ProcessLog& log) : state_(state), log_(log), wake_(state.executor, state.clock) {}

Control::~Control() { log_.set_tap({}); }

asio::awaitable<void> Control::run() {
  Mono next_look{};
  for (;;) {
    const Mono now = state_.clock.mono();
    try {
      if (now >= next_look && state_.identity.node_id != 0) {
        next_look = now + (state_.config.listen ? std::chrono::milliseconds(kPollListening) : std::chrono::milliseconds(kPoll));
        co_await carry_out_pending();
      }
      if (tapped_) co_await publish_tail();
    } catch (const Error& e) {
      // Never logged while tailing: the line would feed the tail that failed.
      if (!tapped_) state_.log.debug(event::kCommandDone, {{"code", e.code()}}, e.what());
    }
    if (tapped_ && !tailing()) {
      log_.set_tap({});
      tapped_ = false;
      tail_.clear();
    }
    const Mono until = tapped_ ? state_.clock.mono() + kTailTick : next_look;
    const bool rung = co_await wake_.wait_until(std::max(until, state_.clock.mono() + 10ms));
    if (rung) next_look = Mono{};
  }
}

asio::awaitable<void> Control::carry_out_pending() {
  Params params;
  params.add(state_.identity.node_id);
  const Rows rows = co_await state_.db.query(sql::control_pending, std::move(params));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::int64_t id = rows.integer(i, 0);
    const std::string command(rows.text(i, 1));
    const auto argument = nlohmann::json::parse(rows.text(i, 2), nullptr, false);
    const std::string answer = carry_out(command, argument, std::chrono::milliseconds(rows.integer(i, 3)));
    Params ack;
    ack.add(id).add(state_.identity.node_id).add(answer);
    co_await state_.db.query(sql::control_acknowledge, std::move(ack));
    state_.log.info(event::kCommandDone, {{"command", command}, {"answer", answer}});
  }
}

std::string Control::carry_out(std::string_view command, const nlohmann::json& argument, std::chrono::milliseconds lifetime) {
  if (!argument.is_object()) return "refused: the argument is no object";
  const auto text = [&](const char* key) {
    const auto at = argument.find(key);
    return at != argument.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  if (command == "log_level") {
    try {
      log_.set_level(parse_log_level(text("level")));
      return "ok";
    } catch (const ConfigError& e) {
      return std::string("refused: ") + e.what();
    }
  }
  if (command == "tail") {
    tail_until_ = std::max(tail_until_, state_.clock.mono() + lifetime);
    if (!tapped_) log_.set_tap([this](std::string_view line) { tail_.add(line); });
    tapped_ = true;
    return "ok";
  }
  return "refused: this node does not know the command";
}

asio::awaitable<void> Control::publish_tail() {
  for (int i = 0; i < kChunksPerTick; ++i) {
    const std::string chunk = tail_.take_chunk();
    if (chunk.empty()) co_return;
    Params params;
    params.add(chunk);
    co_await state_.db.query(sql::control_publish, std::move(params));
  }
}

}  // namespace rowcrew
