// A deque of large elements that come and go by the thousand. That of libstdc++ allocates for each
// element above 256 bytes.
#pragma once

#include <boost/container/deque.hpp>

namespace rowcrew {

template <class T>
using WideDeque = boost::container::deque<
    T, void, boost::container::deque_options<boost::container::block_size<32U>>::type>;

}  // namespace rowcrew
