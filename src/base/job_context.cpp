#include <algorithm>
#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>
#include <rowcrew/job.hpp>

namespace rowcrew {

nlohmann::json JobContext::payload() const {
  nlohmann::json parsed;
  try {
    parsed = nlohmann::json::parse(job_.payload);
  } catch (const nlohmann::json::out_of_range&) {
    throw PermanentError("bad_payload", "payload: a number beyond 1.8e308, expected those that a double can hold");
  } catch (const nlohmann::json::exception&) {
    throw PermanentError("bad_payload", "payload: not JSON, expected a JSON object");
  }
  if (!parsed.is_object()) {
    throw PermanentError("bad_payload", std::string("payload: JSON ") + parsed.type_name() +
                                            ", expected a JSON object");
  }
  return parsed;
}

JobTransactions& JobContext::transactions() const {
  if (node_ == nullptr) throw BugError("no_node", "job: no node runs it, expected one that has transactions");
  return node_->transactions;
}

void JobContext::progress(int percent, std::string_view note) {
  constexpr std::size_t kMaxNote = 200;
  if (progress_ == nullptr) return;
  std::optional<std::string> text;
  if (!note.empty()) {
    std::size_t size = std::min(note.size(), kMaxNote);
    while (size < note.size() && size > 0 && (static_cast<unsigned char>(note[size]) & 0xC0U) == 0x80U) --size;
    // What is no UTF-8 is replaced: a bad note must not keep its neighbours from being written.
    text = nlohmann::json::parse(nlohmann::json(note.substr(0, size)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))
               .get<std::string>();
    std::erase(*text, '\0');
  }
  progress_->report(job_, std::clamp(percent, 0, 100), std::move(text), std::nullopt);
}

void JobContext::checkpoint(std::string_view json) {
  constexpr std::size_t kMaxCheckpoint = std::size_t{64} << 10;
  if (json.size() > kMaxCheckpoint) {
    throw PermanentError("bad_checkpoint", "checkpoint: " + std::to_string(json.size()) + " bytes, expected at most 65536");
  }
  // jsonb holds no NUL, which JSON can only write in this way.
  if (!nlohmann::json::accept(json) || json.find("\\u0000") != std::string_view::npos) {
    throw PermanentError("bad_checkpoint", "checkpoint: not JSON that the database can hold, expected JSON");
  }
  if (progress_ != nullptr) progress_->report(job_, std::nullopt, std::nullopt, std::string(json));
}

boost::asio::awaitable<std::string> JobContext::last_checkpoint() {
  if (progress_ == nullptr) co_return std::string();
  co_return co_await progress_->last_checkpoint(job_);
}

}  // namespace rowcrew
