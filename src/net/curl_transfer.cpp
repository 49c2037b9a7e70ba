#include "net/curl_transfer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <rowcrew/error.hpp>

#include "net/http_syntax.hpp"
#include "net/request_rules.hpp"

namespace rowcrew {
namespace {

// Ten thousand transfers may be in flight, each with a buffer of this size, from its first byte sent
// to its last received.
constexpr long kReadBytes = 2 << 10;
// libcurl's least; only TLS and long bodies take it.
constexpr long kWriteBytes = 16 << 10;
constexpr std::size_t kMaxHeadBytes = std::size_t{64} << 10;
constexpr std::chrono::milliseconds kConnectTimeout{10'000};

bool carries_body(std::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

bool is_safe(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS";
}

void require(CURLcode code, CURLoption option) {
  if (code == CURLE_OUT_OF_MEMORY) {
    throw TransientError("http_transfer", "http: no memory for another transfer");
  }
  if (code != CURLE_OK) {
    throw BugError("http_option", fmt::format("http: option {}: {}", static_cast<int>(option),
                                              curl_easy_strerror(code)));
  }
}

/// The stable word for an end that is neither the guard's nor a limit's doing.
std::string_view transient_code(CURLcode code) {
  if (code == CURLE_COULDNT_RESOLVE_HOST) return "http_dns";
  if (code == CURLE_COULDNT_CONNECT) return "http_connect";
  if (code == CURLE_OPERATION_TIMEDOUT) return "http_timeout";
  return is_tls_failure(code) ? "http_tls" : "http_transfer";
}

/// As long as a connection is waited for, looked up, made or encrypted.
bool is_unsent(CURL* easy) {
  long sent = 0;
  curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent);
  return sent == 0;
}

/// What did not come in time: a name server that is silent is no fault of the host.
std::string_view what_was_missing(CURL* easy) {
  curl_off_t looked_up = 0;
  curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &looked_up);
  if (!is_unsent(easy)) return "gave no complete answer";
  return looked_up > 0 ? "let no connection come about" : "was not found, no name server answered,";
}

}  // namespace

CurlTransfer::CurlTransfer(const EgressGuard& guard, HttpRequest request)
    : socket_(guard), request_(std::move(request)), easy_(curl_easy_init()) {
  if (!easy_) throw TransientError("http_transfer", "http: no memory for another transfer");
  check_method(request_);
  host_ = checked_host(request_.url);
  set(CURLOPT_URL, request_.url.c_str());
  set(CURLOPT_PATH_AS_IS, 1L);  // what a caller signed is what is sent
  set_method();
  set_headers();
  set_limits();
  if (!request_.save_to.empty()) saved_.emplace(request_.save_to);
  require(socket_.attach(easy_.get()), CURLOPT_OPENSOCKETFUNCTION);
  set(CURLOPT_WRITEFUNCTION, &CurlTransfer::on_body);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_HEADERFUNCTION, &CurlTransfer::on_header);
  set(CURLOPT_HEADERDATA, this);
  if (!is_safe(request_.method)) {
    set(CURLOPT_PREREQFUNCTION, &CurlTransfer::on_request);
    set(CURLOPT_PREREQDATA, this);
  }
  set(CURLOPT_ERRORBUFFER, error_.data());
}

template <class T>
void CurlTransfer::set(CURLoption option, T value) {
  require(curl_easy_setopt(easy_.get(), option, value), option);
}

void CurlTransfer::set_method() {
  const auto& method = request_.method;
  if (method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (carries_body(method) || !request_.body.empty()) {
    set(CURLOPT_POST, 1L);
    set_body();
    set(CURLOPT_CUSTOMREQUEST, method.c_str());
  } else {
    set(CURLOPT_HTTPGET, 1L);
    if (method != "GET") set(CURLOPT_CUSTOMREQUEST, method.c_str());
  }
}

void CurlTransfer::set_body() {
  if (request_.file.empty() && request_.tail.empty()) {
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    set(CURLOPT_POSTFIELDS, request_.body.data());  // not copied: request_ stays
    return;
  }
  sent_.emplace(request_);
  set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(sent_->size()));
  set(CURLOPT_READFUNCTION, &CurlTransfer::on_read);
  set(CURLOPT_READDATA, this);
  // libcurl goes back to the beginning before it asks on_request() whether it may send again.
  set(CURLOPT_SEEKFUNCTION, &CurlTransfer::on_rewind);
  set(CURLOPT_SEEKDATA, this);
}

void CurlTransfer::set_headers() {
  set(CURLOPT_USERAGENT, "rowcrew/" ROWCREW_VERSION);
  bool typed = false;
  for (const auto& [name, value] : request_.headers) {
    check_header(name, value);
    typed = typed || equals_ignoring_case(name, "content-type");
    const auto trimmed = trim_blanks(value);
    // "Name:" would remove a header; "Name;" sends it empty.
    add_header(trimmed.empty() ? name + ";" : fmt::format("{}: {}", name, trimmed));
  }
  if (!typed) add_header("Content-Type:");  // else libcurl calls every body a web form
  add_header("Expect:");                    // else libcurl waits for a 100 before large bodies
  set(CURLOPT_HTTPHEADER, headers_.get());
}

void CurlTransfer::add_header(const std::string& line) {
  curl_slist* longer = curl_slist_append(headers_.get(), line.c_str());
  if (longer == nullptr) throw TransientError("http_transfer", "http: no memory for a header");
  static_cast<void>(headers_.release());
  headers_.reset(longer);
}

void CurlTransfer::set_limits() {
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  set(CURLOPT_PROXY, "");  // else http_proxy and its kin would route around the guard
  set(CURLOPT_NOSIGNAL, 1L);
  // Without it, dropping a transfer waits for its name look-up, on the event thread.
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  // The bundle of roots is parsed once for all transfers only when there is no folder of roots beside it:
  // else each connection parses and keeps its own, 50 ms of CPU and 800 kB.
  set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  // One transfer per connection: dropping one, or its stall, concerns no other.
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(kConnectTimeout.count()));
  set(CURLOPT_TCP_KEEPALIVE, 1L);  // a provider may think for minutes behind a NAT
  set(CURLOPT_BUFFERSIZE, kReadBytes);
  set(CURLOPT_UPLOAD_BUFFERSIZE, kWriteBytes);
  // Ends what announces too much at once; on_body() counts what really comes. An answer to HEAD
  // announces what it does not send, and 0 would mean no limit.
  if (request_.method != "HEAD" && request_.max_response_bytes > 0) {
    constexpr auto kMost = static_cast<std::size_t>(std::numeric_limits<curl_off_t>::max());
    set(CURLOPT_MAXFILESIZE_LARGE,
        static_cast<curl_off_t>(std::min(request_.max_response_bytes, kMost)));
  }
}

std::size_t CurlTransfer::on_body(const char* data, std::size_t size, std::size_t count,
                                  void* self) noexcept {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  const std::size_t bytes = size * count;
  if (bytes > transfer.request_.max_response_bytes - transfer.body_bytes_) {
    transfer.body_too_large_ = true;
    return 0;
  }
  transfer.body_bytes_ += bytes;
  if (transfer.is_kept()) return transfer.saved_->append(data, bytes) ? bytes : 0;
  transfer.response_.body.append(data, bytes);
  return bytes;
}

std::size_t CurlTransfer::on_read(char* into, std::size_t size, std::size_t count,
                                  void* self) noexcept {
  return static_cast<CurlTransfer*>(self)->sent_->read(into, size * count).value_or(CURL_READFUNC_ABORT);
}

int CurlTransfer::on_rewind(void* self, curl_off_t offset, int origin) noexcept {
  if (offset != 0 || origin != SEEK_SET) return CURL_SEEKFUNC_FAIL;
  static_cast<CurlTransfer*>(self)->sent_->rewind();
  return CURL_SEEKFUNC_OK;
}

std::size_t CurlTransfer::on_header(const char* data, std::size_t size, std::size_t count,
                                    void* self) noexcept {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  const std::string_view line(data, size * count);
  transfer.head_bytes_ += line.size();
  // libcurl calls a head that breaks off a success; trailers start another block of lines.
  transfer.head_complete_ =
      line == "\r\n" || line == "\n" || (transfer.head_complete_ && !line.starts_with("HTTP/"));
  transfer.head_too_large_ = transfer.head_bytes_ > kMaxHeadBytes;
  return transfer.head_too_large_ ? 0 : line.size();
}

// Before the request is sent, and again before libcurl repeats it by itself: it takes a kept connection
// that ends before the first byte of an answer for a stale one. Once a byte has been sent, nobody knows.
int CurlTransfer::on_request(void* self, char*, char*, int, int) noexcept {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  long sent = 0;
  curl_easy_getinfo(transfer.easy(), CURLINFO_REQUEST_SIZE, &sent);
  transfer.unanswered_ = sent > 0;
  return transfer.unanswered_ ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

HttpResponse CurlTransfer::finish(std::optional<CURLcode> code) {
  if (!code) {
    throw TransientError(is_unsent(easy_.get()) ? "http_connect" : "http_timeout",
                         fmt::format("http: host \"{}\" {} within {} ms", host_, what_was_missing(easy_.get()),
                                                     request_.timeout.count()));
  }
  if (*code != CURLE_OK) fail(*code);
  if (!head_complete_) fail(CURLE_GOT_NOTHING);
  long status = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  response_.status = static_cast<int>(status);
  read_headers();
  if (is_kept() && !saved_->keep()) fail(CURLE_WRITE_ERROR);
  saved_.reset();
  return std::move(response_);
}

bool CurlTransfer::is_kept() const {
  long status = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  return saved_ && status / 100 == 2;
}

void CurlTransfer::read_headers() {
  curl_header* header = nullptr;
  while ((header = curl_easy_nextheader(easy_.get(), CURLH_HEADER, -1, header)) != nullptr) {
    response_.headers.emplace_back(header->name, header->value);
  }
}

void CurlTransfer::fail(CURLcode code) const {
  if (body_too_large_ || code == CURLE_FILESIZE_EXCEEDED) {
    throw PermanentError("http_body_too_large",
                         fmt::format("http: the answer of host \"{}\" is longer than {} bytes",
                                     host_, request_.max_response_bytes));
  }
  for (const std::string& trouble : {sent_ ? sent_->trouble() : "", saved_ ? saved_->trouble() : ""}) {
    if (!trouble.empty()) throw TransientError("http_disk", "http: " + trouble);
  }
  // A line of more than 100 KiB, for which libcurl has no room, it calls a lack of memory.
  const bool endless_line = code == CURLE_OUT_OF_MEMORY && head_bytes_ > 0 && !head_complete_;
  if (head_too_large_ || endless_line) {
    throw TransientError(
        "http_transfer",
        fmt::format("http: the head of host \"{}\" is longer than {} bytes", host_, kMaxHeadBytes));
  }
  if (code == CURLE_COULDNT_CONNECT && socket_.only_refused()) {
    throw PermanentError("egress_refused",
                         fmt::format("http: address {} of host \"{}\" is not allowed, allow-list "
                                     "it under egress.allow",
                                     socket_.refused(), host_));
  }
  std::string_view why = error_[0] != '\0' ? error_.data() : curl_easy_strerror(code);
  if (unanswered_) why = "the connection ended before an answer came";
  if (code == CURLE_URL_MALFORMAT) throw bad_url(why);  // a name that IDN cannot spell
  const bool no_connection = code == CURLE_OPERATION_TIMEDOUT && is_unsent(easy_.get());
  throw TransientError(std::string(no_connection ? "http_connect" : transient_code(code)),
                       fmt::format("http: {} host \"{}\": {}", request_.method, host_, why));
}

}  // namespace rowcrew
