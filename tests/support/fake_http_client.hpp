// An HttpClient that answers from a script and keeps what it was asked.
#pragma once

#include <deque>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <rowcrew/error.hpp>
#include <rowcrew/http_client.hpp>

namespace rowcrew::testing {

class FakeHttpClient final : public HttpClient {
 public:
  /// The answer to the next request that has none yet.
  void answer(int status, HttpHeaders headers = {}, std::string body = {}) {
    HttpResponse response;
    response.status = status;
    response.headers = std::move(headers);
    response.body = std::move(body);
    script_.emplace_back(std::move(response));
  }
  /// It fails with `error`.
  template <class E>
  void fail(E error) {
    script_.emplace_back(std::make_exception_ptr(std::move(error)));
  }

  boost::asio::awaitable<HttpResponse> send(HttpRequest request) override {
    files.push_back(content_of(request.file));
    requests.push_back(std::move(request));
    if (script_.empty()) throw std::logic_error("fake http client: a request without an answer");
    auto next = std::move(script_.front());
    script_.pop_front();
    if (auto* error = std::get_if<std::exception_ptr>(&next)) std::rethrow_exception(*error);
    auto response = std::get<HttpResponse>(std::move(next));
    const std::string path = requests.back().save_to;
    if (!path.empty() && response.status / 100 == 2) save(path, std::exchange(response.body, {}));
    co_return response;
  }

  std::vector<HttpRequest> requests;
  std::vector<std::string> files;  ///< of each request what its file held when it was sent

  /// All that a request sent.
  std::string body_of(std::size_t at) const {
    return requests.at(at).body + files.at(at) + requests.at(at).tail;
  }

 private:
  static std::string content_of(const std::string& path) {
    if (path.empty()) return "";
    std::ifstream in(path, std::ios::binary);
    if (!in) throw PermanentError("http_file", "fake http client: no file " + path);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  static void save(const std::string& path, const std::string& body) {
    if (std::filesystem::exists(std::filesystem::symlink_status(path))) {
      throw PermanentError("http_file", "fake http client: there is a file " + path);
    }
    std::ofstream out(path, std::ios::binary);
    out << body;
    if (!out.flush()) throw PermanentError("http_file", "fake http client: cannot make " + path);
  }

  std::deque<std::variant<HttpResponse, std::exception_ptr>> script_;
};

}  // namespace rowcrew::testing
