// Writes the ends of jobs, in batches that form by themselves: while one write is on its way the
// next one gathers. Ends that a port hears of are written one by one, so that a port which refuses
// spoils no neighbour. Repeats a write until the database has answered; the fence makes that safe.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "base/service.hpp"
#include "queue/job_table.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Completer final : public Service {
 public:
  explicit Completer(NodeState& state);

  std::string_view name() const override { return "completer"; }
  boost::asio::awaitable<void> run() override;

  void add(std::size_t table, EndedJob ended);
  /// The job ended without anything to write.
  void forget(std::size_t table, const Job& job);
  std::size_t pending() const;
  /// Whether the end of a job of this claim is still to be written.
  bool holds(std::size_t table, std::int64_t token) const;
  /// Waits until everything is written or `until` has passed; true when nothing is left.
  boost::asio::awaitable<bool> drain(Mono until);
  /// Called after each write with the longest wait it caused (for the promoter).
  void on_parked(std::function<void(std::chrono::milliseconds)> handler) { parked_ = std::move(handler); }

 private:
  struct Item {
    EndedJob ended;
    bool maybe_written = false;  ///< a write was sent and its answer lost
    bool port_refused = false;   ///< the port is not asked again
  };
  using Batch = std::vector<Item>;
  static constexpr std::size_t kMaxBatch = 500;

  struct Buffer {
    std::deque<Item> completed;
    std::deque<Item> ended;
    std::deque<Item> reported;  ///< of both kinds, each with a port
    std::vector<Item> sending;
    std::size_t batch_limit = kMaxBatch;  ///< 1 while a batch is taken apart after a refusal
  };

  boost::asio::awaitable<bool> flush_table(std::size_t table);
  void file(std::size_t table, Item item);
  std::optional<Statement> port_of(const Item& item) const;
  boost::asio::awaitable<bool> write(std::size_t table, std::deque<Item>& queue);
  boost::asio::awaitable<std::vector<std::string>> send(std::size_t table, std::deque<Item>& queue, std::vector<std::int64_t> dropped);
  boost::asio::awaitable<void> settle(std::size_t table, Batch batch, std::vector<std::string> written,
                                      std::vector<std::int64_t> dropped);
  void put_back(std::size_t table, std::deque<Item>& queue, Batch batch, const DbError& error, bool by_port);
  void give_up(std::size_t table);
  void replace_ending(std::size_t table, Item item, const DbError& error, bool by_port);
  void report(std::size_t table, const EndedJob& ended);
  void report_lost(std::size_t table, const EndedJob& ended);
  boost::asio::awaitable<void> drop_empty_claims(std::size_t table);

  NodeState& state_;
  std::vector<Buffer> buffers_;
  Wake wake_;
  Wake written_;
  int failures_ = 0;
  std::function<void(std::chrono::milliseconds)> parked_;
};

}  // namespace rowcrew
