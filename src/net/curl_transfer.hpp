// One request as a libcurl handle: options, callbacks, and what came of it.
#pragma once

#include <curl/curl.h>

#include <array>
#include <memory>
#include <optional>
#include <rowcrew/http_client.hpp>
#include <string>

#include "net/guarded_socket.hpp"
#include "net/transfer_files.hpp"

namespace rowcrew {

/// libcurl keeps pointers into this object: it stays where it was built.
class CurlTransfer {
 public:
  /// Throws PermanentError ("http_bad_url", "http_bad_method", "http_bad_header", "http_file"). The guard
  /// must outlive this.
  CurlTransfer(const EgressGuard& guard, HttpRequest request);
  CurlTransfer(const CurlTransfer&) = delete;
  CurlTransfer& operator=(const CurlTransfer&) = delete;

  CURL* easy() { return easy_.get(); }
  std::chrono::milliseconds timeout() const { return request_.timeout; }

  /// The response, once the handle has ended with `code`; nullopt: its timeout passed. Throws as
  /// HttpClient::send() does.
  HttpResponse finish(std::optional<CURLcode> code);

 private:
  struct FreeEasy {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  };
  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  static std::size_t on_body(const char* data, std::size_t size, std::size_t count,
                             void* self) noexcept;
  static std::size_t on_header(const char* data, std::size_t size, std::size_t count,
                               void* self) noexcept;
  static std::size_t on_read(char* into, std::size_t size, std::size_t count, void* self) noexcept;
  static int on_rewind(void* self, curl_off_t offset, int origin) noexcept;
  static int on_request(void* self, char*, char*, int, int) noexcept;

  template <class T>
  void set(CURLoption option, T value);
  void set_method();
  void set_body();
  void set_headers();
  void set_limits();
  void add_header(const std::string& line);
  void read_headers();
  bool is_kept() const;
  [[noreturn]] void fail(CURLcode code) const;

  GuardedSocket socket_;
  HttpRequest request_;
  HttpResponse response_;
  std::optional<RequestBody> sent_;  ///< where it is more than request_.body
  std::optional<AnswerFile> saved_;
  std::size_t body_bytes_ = 0;  ///< of the answer, wherever they went
  std::string host_;  ///< as the URL names it, for messages
  std::size_t head_bytes_ = 0;
  bool head_complete_ = false;  ///< the empty line behind the final head has come
  bool body_too_large_ = false;
  bool head_too_large_ = false;
  bool unanswered_ = false;  ///< sent, and libcurl would have sent it again
  std::array<char, CURL_ERROR_SIZE> error_{};
  std::unique_ptr<curl_slist, FreeList> headers_;
  std::unique_ptr<CURL, FreeEasy> easy_;  ///< last: its end may still call back
};

}  // namespace rowcrew
