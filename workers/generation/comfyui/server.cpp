#include "server.hpp"

#include <boost/system/system_error.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include <rowcrew/error.hpp>

namespace rowcrew::generation::comfyui {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using std::chrono::milliseconds;
using Act = ProviderVerdict::Act;

constexpr milliseconds kSmall = 15s;
constexpr milliseconds kSubmit = 30s;   // validation reads the server's disk
constexpr milliseconds kLarge = 10min;  // pictures
constexpr milliseconds kCancel = 2s;
constexpr std::size_t kMostJson = std::size_t{32} << 20;  // queues and histories hold whole graphs

void json_body(HttpRequest& request, const json& body) {
  request.headers.emplace_back("Content-Type", "application/json");
  request.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string part(const std::string& boundary, const std::string& name) {
  return "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + name + "\"";
}

ProviderVerdict not_comfyui(const Asked& asked) {
  return {Act::shut, "comfyui_not_comfyui", "comfyui " + asked.label + ": does not answer as ComfyUI does"};
}

}  // namespace

Server::Server(std::string base, const Config& config, HttpClient& http, Clock& clock, Log& log)
    : base_(std::move(base)), label_(label_of(base_)), headers_(config.headers), http_(http), clock_(clock), log_(log) {}

milliseconds Server::closed_for() {
  const auto left = lane_.admit(clock_.mono());
  if (!left) lane_.forget();
  return std::max<milliseconds>(left.value_or(1s), 100ms);
}

int Server::times_away() const {
  return clock_.mono() < away_until_ ? away_ : away_ + 1;  // what many calls find at once counts once
}

void Server::tell(const ProviderVerdict& verdict) {
  const Mono now = clock_.mono();
  if (verdict.code == "comfyui_away") {
    away_ = times_away();
    away_until_ = std::max(away_until_, now + away_for(away_));
  } else {
    away_ = 0;
  }
  if (lane_.tell(verdict, now)) {
    log_.warning("comfyui.closed", {{"server", label_}, {"code", verdict.code}}, verdict.message);
  }
}

HttpRequest Server::request(const char* method, const std::string& path, milliseconds longest, Mono until) const {
  HttpRequest made(method, base_ + path);
  made.headers = headers_;
  made.max_response_bytes = kMostJson;
  const auto left = std::chrono::duration_cast<milliseconds>(until - clock_.mono());
  made.timeout = std::clamp<milliseconds>(left, 1ms, longest);
  return made;
}

boost::asio::awaitable<Reply> Server::ask(const Asked& asked, HttpRequest request, bool tells) {
  Reply reply;
  std::optional<ProviderVerdict> silence;
  try {
    reply.response = co_await http_.send(std::move(request));
  } catch (const Error& error) {
    silence = judge_silence(error, asked, times_away());
  } catch (const boost::system::system_error&) {
    lane_.forget();
    throw;
  }
  reply.silent = silence.has_value();
  if (silence) {
    reply.verdict = std::move(*silence);
  } else {
    reply.verdict = judge_answer(reply.response, asked, times_away(), clock_.wall());
  }
  if (tells) tell(reply.verdict);
  co_return reply;
}

boost::asio::awaitable<std::variant<Server::Found, ProviderVerdict>> Server::find(const Asked& asked, const std::string& id, Mono until) {
  Reply queue = co_await ask(asked, request("GET", "/queue", kSmall, until), true);
  if (!queue.ok()) co_return queue.verdict;
  const std::optional<Sight> sight = find_in_queue(queue.response.body, id);
  if (!sight) {
    tell(not_comfyui(asked));
    co_return not_comfyui(asked);
  }
  Found found;
  found.sight = *sight;
  if (sight->place != Place::absent) co_return found;
  Reply history = co_await ask(asked, request("GET", "/history/" + id, kSmall, until), true);
  if (!history.ok()) co_return history.verdict;
  std::optional<json> entry = find_in_history(history.response.body, id);
  if (!entry) {
    tell(not_comfyui(asked));
    co_return not_comfyui(asked);
  }
  found.entry = std::move(*entry);
  co_return found;
}

boost::asio::awaitable<Reply> Server::upload(const Asked& asked, const std::string& name, const std::string& file,
                                             const std::string& boundary, Mono until) {
  HttpRequest post = request("POST", "/upload/image", kLarge, until);
  post.headers.emplace_back("Content-Type", "multipart/form-data; boundary=" + boundary);
  post.body = part(boundary, "overwrite") + "\r\n\r\ntrue\r\n" + part(boundary, "type") + "\r\n\r\ninput\r\n" +
              part(boundary, "image") + "; filename=\"" + name + "\"\r\nContent-Type: image/png\r\n\r\n";
  post.file = file;
  post.tail = "\r\n--" + boundary + "--\r\n";
  return ask(asked, std::move(post), false);
}

boost::asio::awaitable<Reply> Server::submit(const Asked& asked, std::string body, Mono until) {
  HttpRequest post = request("POST", "/prompt", kSubmit, until);
  post.headers.emplace_back("Content-Type", "application/json");
  post.body = std::move(body);
  return ask(asked, std::move(post), false);
}

boost::asio::awaitable<Reply> Server::view(const Asked& asked, const OutputFile& file, const std::string& to,
                                           std::uint64_t max_bytes, Mono until) {
  HttpRequest get = request("GET", "/view?" + view_query(file), kLarge, until);
  get.save_to = to;
  get.max_response_bytes = max_bytes;
  return ask(asked, std::move(get), false);
}

boost::asio::awaitable<void> Server::free_memory(const Asked& asked, Mono until) {
  HttpRequest post = request("POST", "/free", kSmall, until);
  json_body(post, {{"unload_models", true}, {"free_memory", true}});
  co_await ask(asked, std::move(post), false);
}

boost::asio::awaitable<bool> Server::cancel(const Asked& asked, const std::string& id, Mono until) {
  HttpRequest drop = request("POST", "/queue", kCancel, until);
  json_body(drop, {{"delete", json::array({id})}});
  const Reply dropped = co_await ask(asked, std::move(drop), false);
  if (!dropped.ok()) co_return false;
  // An old server takes no notice of the id and interrupts whatever runs: it has to be ours.
  const Reply queue = co_await ask(asked, request("GET", "/queue", kCancel, until), false);
  const std::optional<Sight> sight = queue.ok() ? find_in_queue(queue.response.body, id) : std::nullopt;
  if (!sight) co_return false;
  if (sight->place != Place::running) co_return true;
  HttpRequest stop = request("POST", "/interrupt", kCancel, until);
  json_body(stop, {{"prompt_id", id}});
  const Reply stopped = co_await ask(asked, std::move(stop), false);
  co_return stopped.ok();
}

}  // namespace rowcrew::generation::comfyui
