// What answers of particular vendors mean, whichever kind calls them: pure. 2xx is `answered` without a look at its body: the caller
// reads that. A body that is no error of the vendor's is judged by its status; else its own words count first, the status second.
#pragma once

#include <chrono>
#include <string_view>

#include <rowcrew/http_client.hpp>
#include <rowcrew/provider_verdict.hpp>

namespace rowcrew {

/// The code of every verdict that says no to what was asked for, because of a policy.
inline constexpr std::string_view kContentPolicy = "content_policy";

/// OpenAI: openai_refuses_us, openai_quota, openai_model_unknown (shut); openai_rate_limited (wait); openai_overloaded,
/// openai_http_<status> (again); content_policy, openai_bad_request, openai_http_<status> (fail). Its x-should-retry is obeyed where
/// nobody but this call is meant.
ProviderVerdict judge_openai(const HttpResponse& response, std::chrono::system_clock::time_point now);

/// Google's generative models: gemini_refuses_us, gemini_quota, gemini_model_unknown (shut); gemini_rate_limited, gemini_day_used_up
/// (wait; the latter until midnight in California, when days begin there); gemini_overloaded, gemini_http_<status> (again);
/// gemini_bad_request, gemini_http_<status> (fail).
ProviderVerdict judge_google(const HttpResponse& response, std::chrono::system_clock::time_point now);

/// Anthropic: anthropic_refuses_us, anthropic_quota (until the month ends where it says so), anthropic_model_unknown, anthropic_http_404
/// (shut); anthropic_rate_limited, anthropic_overloaded (wait); anthropic_http_<status> (again); anthropic_bad_request, anthropic_too_large,
/// anthropic_http_<status> (fail). Its x-should-retry is obeyed where nobody but this call is meant.
ProviderVerdict judge_anthropic(const HttpResponse& response, std::chrono::system_clock::time_point now);

}  // namespace rowcrew
