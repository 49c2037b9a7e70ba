// The texts of mails: Mustache templates in a directory, read once at start.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "message.hpp"

namespace rowcrew::email {

/// Mail <name> is made of <name>.subject, <name>.txt and <name>.html. Values are escaped in the
/// HTML alone. Event thread only.
class MailTemplates {
 public:
  /// Reads `directory`, blocking. Throws ConfigError naming file, and line for a broken template:
  /// unreadable, one of the three missing, a name other than a-z, 0-9 and "_". A directory that
  /// does not exist counts as empty when `optional`.
  MailTemplates(const std::string& directory, bool optional);
  ~MailTemplates();

  /// Throws PermanentError("unknown_template") that lists the known ones.
  void check_known(std::string_view name) const;

  /// Fills a known template; the subject's line end is dropped. Throws
  /// PermanentError("template_data") naming every value that the template needs and `data` (an
  /// object) lacks: missing, null, an empty text or no text or number at all. A value that a
  /// section asks for ({{#name}}) may be missing.
  Content render(std::string_view name, const nlohmann::json& data) const;

 private:
  class Template;
  struct Trio;
  std::map<std::string, std::unique_ptr<Trio>, std::less<>> trios_;
};

}  // namespace rowcrew::email
