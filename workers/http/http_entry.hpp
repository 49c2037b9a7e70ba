// The allow-list of the kind `http`: the only requests that a payload can cause.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <rowcrew/http_client.hpp>
#include <rowcrew/settings.hpp>

#include "url_template.hpp"

namespace rowcrew::http {

/// Statuses, both ends included.
using StatusRange = std::pair<int, int>;

struct Entry {
  Entry(std::string entry_name, UrlTemplate target)
      : name(std::move(entry_name)), url(std::move(target)) {}

  std::string name;
  UrlTemplate url;
  std::string method;
  HttpHeaders headers;  ///< secrets among them
  std::chrono::milliseconds timeout{};
  std::vector<StatusRange> expect;
  bool json_body = false;  ///< the payload's `body` is sent
};

using AllowList = std::map<std::string, Entry, std::less<>>;

/// Reads kinds.http.allow. Throws ConfigError.
AllowList read_allow_list(const Settings& http);

}  // namespace rowcrew::http
