#include "programs/bench/bench_node.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <rowcrew/handler.hpp>

#include "programs/node_program.hpp"

namespace rowcrew::bench {
namespace {

class NoteStart final : public Handler {
 public:
  explicit NoteStart(StartTimes& starts) : starts_(starts) {}
  boost::asio::awaitable<Outcome> run(JobContext& context) override {
    starts_.hit(job_number(context.job().payload));
    co_return Outcome(Completed());
  }

 private:
  StartTimes& starts_;
};

}  // namespace

BenchNode::BenchNode(const cli::Arguments& arguments, std::map<std::string, std::string> environment, std::int64_t slots, StartTimes& starts)
    : name_(fmt::format("bench-{}", ::getpid())) {
  NodeProgram program;
  program.config_file = arguments.config_file();
  program.environment = std::move(environment);
  if (const auto url = arguments.get("database")) program.flags["database.url"] = *url;
  program.flags["log.level"] = "warning";
  program.adjust = [name = name_, slots](NodeConfig& config) {
    config.name = name;
    config.tables = {"job_queue"};
    config.adopted.emplace();  // none
    config.metrics_listen.clear();  // of the node whose file this is
    config.queues = {{"bench", static_cast<std::size_t>(slots)}};
  };
  program.more_handlers = [&starts](Registry& registry, Deps&) { registry.add("bench", std::make_unique<NoteStart>(starts)); };
  thread_ = std::thread([this, program = std::move(program)] {
    status_ = run_node_program(program);
    ended_ = true;
  });
}

BenchNode::~BenchNode() { stop(); }

int BenchNode::stop() {
  if (thread_.joinable()) {
    if (!ended_) ::kill(::getpid(), SIGTERM);
    thread_.join();
  }
  return status_;
}

}  // namespace rowcrew::bench
