// Whether an old worker may go on claiming from the same table beside us. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rowcrew::cli {

/// Judges its claim statement: it has to be one that cannot take a job which somebody else has taken
/// since it looked, so the UPDATE itself must ask for a waiting word, or the rows must have been chosen
/// under FOR UPDATE. Empty: it may. Otherwise a sentence about what is missing.
std::string fault_of_old_worker(std::string_view statement, std::string_view status_column,
                                const std::vector<std::string>& waiting_words, std::string_view running_word);

}  // namespace rowcrew::cli
