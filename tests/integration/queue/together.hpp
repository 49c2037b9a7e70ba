// The same work from several database threads at once.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <functional>
#include <vector>

#include "queue_bench.hpp"

namespace rowcrew::testing {

/// The answers of `times` runs of one statement, all sent before the first is awaited. The bench
/// needs as many threads for them to be in the database together.
inline std::vector<Rows> together(QueueBench& b, const Statement& statement, const Params& params,
                                  int times) {
  std::vector<Rows> answers;
  std::exception_ptr failure;
  int left = times;
  for (int i = 0; i < times; ++i) {
    boost::asio::co_spawn(b.io, b.pool.query(statement, params),
                          [&](std::exception_ptr e, Rows rows) {
                            if (e) failure = e;
                            answers.push_back(std::move(rows));
                            if (--left == 0) b.io.stop();
                          });
  }
  b.io.restart();
  b.io.run();
  if (failure) std::rethrow_exception(failure);
  return answers;
}

}  // namespace rowcrew::testing
