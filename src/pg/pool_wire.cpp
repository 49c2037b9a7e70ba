#include "pg/wire.hpp"

namespace rowcrew {

boost::asio::awaitable<std::vector<Rows>> PoolWire::exec(std::vector<Call> calls) {
  const TxMode mode = calls.size() == 1 ? TxMode::autocommit : TxMode::transaction;
  auto work = [calls = std::move(calls)](Tx& tx) {
    std::vector<Rows> all;
    all.reserve(calls.size());
    for (const Call& call : calls) all.push_back(tx.exec(call.statement, call.params));
    return all;
  };
  co_return co_await db_.run(mode, std::move(work));
}

}  // namespace rowcrew
