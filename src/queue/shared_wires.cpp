#include "queue/shared_wires.hpp"

#include <algorithm>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace rowcrew {

SharedWires::SharedWires(std::vector<std::unique_ptr<Wire>> wires) : turns_(wires.size()) {
  for (auto& wire : wires) lines_->push_back({std::move(wire)});
}

SharedWires::Taken::Taken(Turns::Turn turn, std::shared_ptr<Lines> lines) : turn_(std::move(turn)), lines_(std::move(lines)) {
  const auto fewest = [](const Line& a, const Line& b) { return a.taken < b.taken; };
  line_ = &*std::min_element(lines_->begin(), lines_->end(), fewest);
  ++line_->taken;
}

SharedWires::Taken::Taken(Taken&& other) noexcept
    : turn_(std::move(other.turn_)), lines_(std::move(other.lines_)), line_(std::exchange(other.line_, nullptr)) {}

SharedWires::Taken::~Taken() {
  if (line_ != nullptr) --line_->taken;
}

boost::asio::awaitable<SharedWires::Taken> SharedWires::take() {
  const std::shared_ptr<Lines> lines = lines_;
  Turns::Turn turn = co_await turns_.take();
  co_return Taken(std::move(turn), lines);
}

}  // namespace rowcrew
