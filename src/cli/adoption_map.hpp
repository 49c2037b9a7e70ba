// The file that describes an application's job table: read, checked as far as it can be without the
// database, and turned into the object that rowcrew.adopted_table keeps.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace rowcrew::cli {

struct AdoptionMap {
  nlohmann::json object;  ///< as rowcrew.adopted_template() takes it
  std::string schema;
  std::string table;
  std::string name;  ///< under which it is served; empty: made of schema and table
  std::string status_column;
  std::string old_worker;  ///< "none", its claim statement, or empty: not said
  std::vector<std::string> waiting_words;
  std::string running_word;
  std::vector<std::string> words;  ///< all of them
};

/// Throws ConfigError that names the key: an unknown one, one that is missing, a word that stands for
/// two states, a name with braces.
AdoptionMap read_adoption_map(const std::string& file);

/// What a map may hold, for people: lines of at most 100 characters.
std::string describe_adoption_map();

/// "Schema"."table", as in messages.
std::string shown_table(const AdoptionMap& map);

}  // namespace rowcrew::cli
