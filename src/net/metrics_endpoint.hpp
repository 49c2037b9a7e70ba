// What a monitoring system asks a program: /metrics, /healthz, /readyz, on a listener of its own.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <rowcrew/settings.hpp>

#include "net/http_server.hpp"

namespace rowcrew {

/// Both are called on the event thread, and must ask neither database nor network.
struct MetricsAnswers {
  std::function<std::string()> metrics;
  /// One word that says why this program takes no work; empty: it is ready.
  std::function<std::string_view()> hindrance;
};

/// metrics.listen, empty: nothing is opened. Throws ConfigError on what is no address.
std::string read_metrics_listen(const Settings& root);

/// Pure but for `answers`. GET and HEAD; 405 for other methods, 404 for other paths. /healthz is 200 whenever it is
/// answered: whether the event loop moves shows by that.
ServerResponse answer_scrape(std::string_view method, std::string_view path, const MetricsAnswers& answers);

/// Binds at once, says where in a line (metrics.listening). Throws ConfigError that names key and address.
std::unique_ptr<HttpServer> make_metrics_server(boost::asio::any_io_executor executor, const std::string& listen, MetricsAnswers answers,
                                                Log& log);

}  // namespace rowcrew
