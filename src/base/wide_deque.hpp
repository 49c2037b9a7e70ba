// A deque of large elements that come and go by the thousand. That of libstdc++ allocates for each
// element above 256 bytes.
#pragma once

#include <algorithm>
#include <boost/container/deque.hpp>
#include <cstddef>
#include <iterator>
#include <vector>

namespace rowcrew {

template <class T>
using WideDeque = boost::container::deque<
    T, void, boost::container::deque_options<boost::container::block_size<32U>>::type>;

template <class T>
std::vector<T> take_front(WideDeque<T>& queue, std::size_t most) {
  const auto n = static_cast<std::ptrdiff_t>(std::min(queue.size(), most));
  std::vector<T> taken(std::make_move_iterator(queue.begin()), std::make_move_iterator(queue.begin() + n));
  queue.erase(queue.begin(), queue.begin() + n);
  return taken;
}

}  // namespace rowcrew
