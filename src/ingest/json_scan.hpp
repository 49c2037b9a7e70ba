// Strict JSON (RFC 8259) without values: checks a text and says where the members of its outermost
// object stand, so that a payload reaches the database byte for byte. Parsing and writing it anew
// would turn 18446744073709551616 into a double and refuse 1e400, both of which jsonb keeps. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rowcrew {

struct JsonMember {
  std::string name;        ///< escapes resolved
  std::string_view value;  ///< as it stands in the text, without the blanks around it
};

struct JsonLimits {
  unsigned depth = 64;  ///< objects and arrays within each other, the outermost included
  /// Sum of all exponents. The database writes numbers out in full: without a limit, nine bytes
  /// become 131,072 digits in whoever reads the job.
  std::size_t exponents = std::size_t{64} << 10;
};

/// What jsonb refuses although it is JSON is refused, too: \u0000, half a surrogate pair, invalid
/// UTF-8. Only the range of a number is left to the database. Members come in the order of the
/// text, the same name perhaps more than once; their values are views into `text`.
///
/// Throws PermanentError("bad_json"), "byte 17: found …, expected …", never quoting more than one
/// character; the same when the text is JSON but no object.
std::vector<JsonMember> scan_json_object(std::string_view text, JsonLimits limits = {});

enum class JsonKind { object, array, string, number, boolean, null };
/// Of a value that scan_json_object() has returned.
JsonKind json_kind(std::string_view value);
/// "an object", "null", …: for sentences.
std::string_view json_kind_name(JsonKind kind);
/// The text that a string literal of scan_json_object() stands for.
std::string decode_json_string(std::string_view literal);

}  // namespace rowcrew
