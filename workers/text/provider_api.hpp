// How providers are asked and what they answer: pure.
#pragma once

#include <string>

#include <rowcrew/http_client.hpp>

#include "reading.hpp"

namespace rowcrew::text {

/// POST <base_url>/chat/completions. README.md says why not /responses.
HttpRequest ask_openai(const Account& account, const Order& order);
Reading read_openai(const std::string& body);

/// POST <base_url>/v1/messages.
HttpRequest ask_anthropic(const Account& account, const Order& order);
Reading read_anthropic(const std::string& body);

}  // namespace rowcrew::text
