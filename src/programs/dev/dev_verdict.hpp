// Whether the samples ended as samples/expected.json says. Pure.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "programs/dev/dev_data.hpp"

namespace rowcrew::dev {

/// Whether every expected photo was found and has ended.
bool all_ended(const std::vector<ExpectedPhoto>& expected,
               const std::vector<PhotoOutcome>& outcomes);

/// What differs, a sentence each: a photo that was not found or has not ended, another outcome, an
/// output that is not there, a mail or a webhook that did not go out. `outcomes`: of two with one
/// name the later counts. `verified`: the ids that the receiver of this start has verified.
std::vector<std::string> differences(const std::vector<ExpectedPhoto>& expected,
                                     const std::vector<PhotoOutcome>& outcomes,
                                     const std::set<std::string>& verified,
                                     const std::function<bool(const std::string& path)>& exists);

}  // namespace rowcrew::dev
