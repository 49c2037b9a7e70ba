// The tags of a Mustache template: what the library would quietly forgive is found here, with its
// line. Pure.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>

namespace rowcrew::email {

/// The names that sections ({{#name}}, {{^name}}) ask for: these may be missing from the data.
/// Throws ConfigError("<file>:<line>: …") for a tag that is not closed or empty, sections that do
/// not match, partials ({{>…}}) and other delimiters ({{=…}}), which mails have no use for.
std::set<std::string, std::less<>> scan_template(std::string_view text, std::string_view file);

}  // namespace rowcrew::email
