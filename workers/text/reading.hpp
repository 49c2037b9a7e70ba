// What a provider has answered with 200, which is not yet an answer: pure.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include <rowcrew/outcome.hpp>

#include "account.hpp"
#include "order.hpp"

namespace rowcrew::text {

struct Reading {
  enum class End {
    whole,       ///< text, to its end
    refused,     ///< the model says no
    filtered,    ///< a filter took the text away
    cut,         ///< max_tokens, or the model's window, came first
    paused,      ///< it wants to go on in another call
    unexpected,  ///< it ended in a way that nothing here asked for
    empty,       ///< to its end, and no text
    unreadable,  ///< no such answer as the provider documents
  };

  Reading() = default;
  End end = End::unreadable;
  std::string stop;   ///< why it ended, in the provider's word
  std::string text;
  std::string id;     ///< the provider's name of the answer
  std::string model;  ///< which one answered, should it say so
  std::string because;  ///< of a refusal: the provider's word for the kind of it, not the model's sentence, which may tell of the prompt
  Usage usage;
};

/// A token per four bytes of what was sent, and `output`: where the provider does not tell. What is estimated is said to be.
Usage estimate(const Order& order, std::int64_t output);

/// A reading whose usage was not told gets an estimate, by its text.
void complete_usage(Reading& reading, const Order& order);

/// Completed, or what stands in for it: Failed for what another call would not change, else Retry. `cost` in micros.
Outcome outcome_of(const Reading& reading, const Order& order, std::int64_t cost);

/// A field of an object, which may be absent or something else. Texts of strangers: one line, cut after 200 bytes.
std::string word_at(const nlohmann::json& object, const char* key);
/// Never negative.
std::int64_t count_at(const nlohmann::json& object, const char* key);
const nlohmann::json& object_at(const nlohmann::json& object, const char* key);

}  // namespace rowcrew::text
