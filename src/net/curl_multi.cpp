#include "net/curl_multi.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <rowcrew/error.hpp>
#include <string>

namespace rowcrew {
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

// A deadline further away would overflow the timer's clock at the end of its range.
constexpr std::chrono::milliseconds kLongestTimeout = std::chrono::hours(24 * 365);

void require(CURLMcode code, const char* what) {
  if (code != CURLM_OK) {
    throw BugError("http_multi", std::string("http: ") + what + ": " + curl_multi_strerror(code));
  }
}

CURLM* new_multi() {
  // Thread-safe in this libcurl; the process keeps it until its end.
  static const CURLcode kReady = curl_global_init(CURL_GLOBAL_DEFAULT);
  CURLM* multi = kReady == CURLE_OK ? curl_multi_init() : nullptr;
  if (multi == nullptr) throw BugError("http_multi", "http: libcurl could not be initialised");
  return multi;
}

}  // namespace

CurlLimits CurlLimits::of_process() {
  rlimit files{};
  const bool known = ::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY;
  const auto allowed = known ? files.rlim_cur : rlim_t{65536};
  const auto total = static_cast<long>(std::clamp<rlim_t>(allowed / 4 * 3, 16, 16384));
  return CurlLimits(total, total / 2);
}

/// One socket of libcurl's. The descriptor is borrowed: released, never closed, by us.
struct CurlMulti::Watch {
  Watch(const asio::any_io_executor& executor, curl_socket_t socket)
      : fd(socket), descriptor(executor) {}

  curl_socket_t fd;
  asio::posix::stream_descriptor descriptor;
  int want = CURL_POLL_NONE;
  bool reading = false;  ///< a wait for readability is pending
  bool writing = false;
};

/// Where a transfer's coroutine sleeps. The timer is its timeout; the end of the transfer cancels
/// the timer, and so does the coroutine's cancellation.
struct CurlMulti::Waiter {
  Waiter(const asio::any_io_executor& executor, std::chrono::milliseconds timeout)
      : timer(executor, timeout) {}

  asio::steady_timer timer;
  std::optional<CURLcode> code;
};

/// A handle's stay in the multi interface; ends with the coroutine's frame, however that ends.
class CurlMulti::Membership {
 public:
  Membership(CURLM* multi, CURL* easy) : multi_(multi), easy_(easy) {
    require(curl_multi_add_handle(multi, easy), "adding a transfer");
  }
  Membership(const Membership&) = delete;
  Membership& operator=(const Membership&) = delete;
  ~Membership() { curl_multi_remove_handle(multi_, easy_); }

 private:
  CURLM* multi_;
  CURL* easy_;
};

CurlMulti::CurlMulti(asio::any_io_executor executor, CurlLimits limits)
    : executor_(std::move(executor)), timer_(executor_), multi_(new_multi()) {
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlMulti::on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlMulti::on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS, limits.total);
  curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, limits.per_host);
  // The cache holds connections in use too: a smaller one would close what could be reused.
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, limits.total);
  curl_multi_setopt(multi_, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
}

CurlMulti::~CurlMulti() {
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, nullptr);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, nullptr);
  while (!watches_.empty()) forget(watches_.begin()->first);
  curl_multi_cleanup(multi_);
}

asio::awaitable<std::optional<CURLcode>> CurlMulti::perform(CURL* easy,
                                                            std::chrono::milliseconds timeout) {
  const auto self = shared_from_this();
  if (timeout <= std::chrono::milliseconds::zero()) co_return std::nullopt;
  Waiter waiter(executor_, std::min(timeout, kLongestTimeout));
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &waiter);
  const Membership membership(multi_, easy);
  const auto [ec] = co_await waiter.timer.async_wait(asio::as_tuple(asio::use_awaitable));
  if (waiter.code) co_return waiter.code;
  if (ec) throw boost::system::system_error(ec);
  co_return std::nullopt;
}

int CurlMulti::on_socket(CURL* easy, curl_socket_t fd, int what, void* self, void*) noexcept {
  auto& multi = *static_cast<CurlMulti*>(self);
  if (what == CURL_POLL_REMOVE) {
    multi.forget(fd);
  } else if (!multi.watch(fd, what)) {
    // A non-zero answer would end every transfer for good; only this one cannot go on.
    finish(easy, CURLE_COULDNT_CONNECT);
  }
  return 0;
}

int CurlMulti::on_timer(CURLM*, long timeout_ms, void* self) noexcept {
  auto& multi = *static_cast<CurlMulti*>(self);
  if (timeout_ms < 0) {
    multi.timer_.cancel();
    return 0;
  }
  // A delay of 0 passes through the loop as well: libcurl must not be called from its callback.
  multi.timer_.expires_after(std::chrono::milliseconds(timeout_ms));
  multi.timer_.async_wait([weak = multi.weak_from_this()](error_code ec) {
    if (ec) return;
    if (const auto alive = weak.lock()) alive->act(CURL_SOCKET_TIMEOUT, 0);
  });
  return 0;
}

bool CurlMulti::watch(curl_socket_t fd, int what) {
  auto& watch = watches_[fd];
  if (!watch) {
    auto fresh = std::make_shared<Watch>(executor_, fd);
    error_code ec;
    fresh->descriptor.assign(fd, ec);
    if (ec) {
      watches_.erase(fd);
      return false;
    }
    watch = std::move(fresh);
  }
  watch->want = what;
  arm(watch);
  return true;
}

void CurlMulti::forget(curl_socket_t fd) {
  const auto at = watches_.find(fd);
  if (at == watches_.end()) return;
  // Explicitly, as pending waits keep the object: libcurl closes the descriptor next, and its
  // number may come back at once.
  at->second->descriptor.release();
  watches_.erase(at);
}

void CurlMulti::arm(const std::shared_ptr<Watch>& watch) {
  if ((watch->want & CURL_POLL_IN) != 0 && !watch->reading) await_event(watch, CURL_CSELECT_IN);
  if ((watch->want & CURL_POLL_OUT) != 0 && !watch->writing) await_event(watch, CURL_CSELECT_OUT);
}

void CurlMulti::await_event(const std::shared_ptr<Watch>& watch, int event) {
  const bool read = event == CURL_CSELECT_IN;
  (read ? watch->reading : watch->writing) = true;
  const auto kind =
      read ? asio::posix::descriptor_base::wait_read : asio::posix::descriptor_base::wait_write;
  watch->descriptor.async_wait(kind, [weak = weak_from_this(), watch, event, read](error_code ec) {
    (read ? watch->reading : watch->writing) = false;
    const auto self = weak.lock();
    if (!self || ec) return;
    const auto mapped = [&] {
      const auto at = self->watches_.find(watch->fd);
      return at != self->watches_.end() && at->second == watch;
    };
    // The socket may have been dropped while this event was on its way, or want no more of its
    // kind (CURL_POLL_IN and CURL_CSELECT_IN have the same value, and so have the others).
    if (!mapped() || (watch->want & event) == 0) return;
    self->act(watch->fd, event);
    if (mapped()) self->arm(watch);
  });
}

void CurlMulti::act(curl_socket_t fd, int events) {
  int running = 0;
  curl_multi_socket_action(multi_, fd, events, &running);
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg == CURLMSG_DONE) finish(message->easy_handle, message->data.result);
  }
}

void CurlMulti::finish(CURL* easy, CURLcode code) {
  Waiter* waiter = nullptr;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &waiter);
  if (waiter == nullptr) return;
  if (!waiter->code) waiter->code = code;
  waiter->timer.cancel();  // resumes the coroutine through the loop, never from here
}

}  // namespace rowcrew
