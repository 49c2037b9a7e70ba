#include "queue/job_rows.hpp"

#include <algorithm>

namespace rowcrew {


Params claim_params(std::int64_t token, NodeIdentity node, const std::vector<ClaimWant>& wants, bool with_marks) {
  Ids queues;
  std::vector<std::int64_t> counts;
  Ids marks;
  for (const ClaimWant& want : wants) {
    queues.push_back(want.queue);
    counts.push_back(static_cast<std::int64_t>(want.count));
    marks.insert(marks.end(), want.marks.begin(), want.marks.end());
  }
  Params params;
  params.add(token).add(node.node_id).add(node.epoch).add_array(queues).add_array(counts);
  if (with_marks) params.add_array(marks);
  return params;
}

namespace {

void add_lowered(Params& params, const std::vector<StillRunning>& rows) {
  std::vector<std::int64_t> tokens;
  std::vector<std::int64_t> left;
  for (const StillRunning& row : rows) {
    tokens.push_back(row.token);
    left.push_back(static_cast<std::int64_t>(row.jobs));
  }
  params.add_array(tokens).add_array(left);
}

}  // namespace

Params limited_params(const Exchange& what) {
  Ids queues;
  std::vector<std::int64_t> counts;
  std::vector<std::int64_t> slots;
  Ids cursors;
  std::vector<std::int64_t> groups;
  Ids first;
  for (const LimitedWant& want : what.limited) {
    queues.push_back(want.queue);
    counts.push_back(static_cast<std::int64_t>(want.count));
    slots.push_back(static_cast<std::int64_t>(want.slots));
    cursors.push_back(want.cursor);
    groups.push_back(static_cast<std::int64_t>(want.groups));
    first.emplace_back(want.first ? "t" : "f");
  }
  Params params;
  params.add_array(what.limited_tokens).add(what.node.node_id).add(what.node.epoch).add_array(queues).add_array(counts)
      .add_array(slots).add_array(cursors).add_array(groups).add_array(first).add_array(what.handed);
  add_lowered(params, what.lowered);
  params.add(what.around);
  return params;
}

Params lowered_params(const std::vector<StillRunning>& rows, std::int64_t node_id) {
  Params params;
  add_lowered(params, rows);
  params.add(node_id);
  return params;
}

ClaimedJob read_job(const Rows& rows, std::size_t i, std::int64_t token, const std::string& table) {
  ClaimedJob claimed;
  Job& job = claimed.job;
  job.id = rows.text(i, 0);
  job.table = table;
  job.job_type = rows.text(i, 1);
  job.queue = rows.text(i, 2);
  claimed.payload_left = rows.is_null(i, 3);
  if (!claimed.payload_left) job.payload = rows.text(i, 3);
  job.claim_token = token;
  job.attempt = static_cast<int>(rows.integer(i, 4)) + 1;
  job.max_attempts = static_cast<int>(rows.integer(i, 5));
  job.crashes = static_cast<int>(rows.integer(i, 6));
  claimed.hint_run_at_us = rows.integer(i, 7);
  claimed.priority = static_cast<int>(rows.integer(i, 8));
  job.app = rows.text(i, 9);
  return claimed;
}

Claimed read_claimed(const Rows& rows, std::int64_t token, const std::string& table) {
  Claimed claimed;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows.is_null(i, 0)) {
      claimed.taken[std::string(rows.text(i, 2))] = static_cast<std::size_t>(rows.integer(i, 7));
    } else {
      claimed.jobs.push_back(read_job(rows, i, token, table));
    }
  }
  if (claimed.taken.empty()) {
    for (const ClaimedJob& job : claimed.jobs) ++claimed.taken[job.job.queue];
  }
  return claimed;
}

void read_limited(const Rows& rows, const std::string& table, Exchanged& done) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows.is_null(i, 0) && !rows.is_null(i, 9)) {
      done.unclaimable.push_back({std::string(rows.text(i, 1)), std::string(rows.text(i, 2)), std::string(rows.text(i, 9))});
    } else if (rows.is_null(i, 0)) {
      LimitedAnswer answer;
      answer.queue = rows.text(i, 2);
      answer.cursor = rows.text(i, 1);
      if (!rows.is_null(i, 7)) answer.look = std::chrono::milliseconds(rows.integer(i, 7));
      answer.groups = static_cast<std::size_t>(rows.integer(i, 4));
      answer.more = !rows.is_null(i, 5) && rows.integer(i, 5) > 0;
      answer.jobs = static_cast<std::size_t>(std::count_if(done.limited.begin(), done.limited.end(), [&](const ClaimedJob& job) {
        return job.job.queue == answer.queue;
      }));
      done.answers.push_back(std::move(answer));
    } else {
      done.limited.push_back(read_job(rows, i, rows.integer(i, 10), table));
      done.limited.back().limited = true;
    }
  }
}

Ids first_column(const Rows& rows) {
  Ids ids;
  ids.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) ids.emplace_back(rows.text(i, 0));
  return ids;
}

Ids split_array(std::string_view literal) {
  Ids out;
  if (literal.size() <= 2) return out;
  literal = literal.substr(1, literal.size() - 2);
  out.emplace_back();
  bool quoted = false;
  for (std::size_t at = 0; at < literal.size(); ++at) {
    const char c = literal[at];
    if (c == '"') {
      quoted = !quoted;
    } else if (c == '\\' && at + 1 < literal.size()) {
      out.back() += literal[++at];
    } else if (c == ',' && !quoted) {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

Params completed_params(const EndedJobs& jobs, const std::vector<std::int64_t>& drop) {
  IdsAndTokens keys;
  std::vector<std::optional<std::string>> results;
  for (const EndedJob* ended : jobs.all()) {
    keys.add(ended->job);
    const std::string& result = ended->ending.result;
    results.push_back(result.empty() ? std::nullopt : std::optional(result));
  }
  Params params;
  params.add_array(keys.ids).add_array(keys.tokens).add_array(results).add_array(drop);
  return params;
}

Params ended_params(const EndedJobs& jobs, std::int64_t node_id, const std::vector<std::int64_t>& drop) {
  IdsAndTokens keys;
  Ids statuses;
  Ids outcomes;
  std::vector<std::optional<std::string>> codes;
  std::vector<std::optional<std::string>> messages;
  std::vector<std::int64_t> delays;
  std::vector<std::int64_t> counts;
  std::vector<std::int64_t> durations;
  const auto or_null = [](const std::string& s) { return s.empty() ? std::nullopt : std::optional(s); };
  for (const EndedJob* ended : jobs.all()) {
    keys.add(ended->job);
    statuses.push_back(ended->ending.status);
    outcomes.emplace_back(outcome_word(ended->ending.kind));
    codes.push_back(or_null(ended->ending.code));
    messages.push_back(or_null(ended->ending.message));
    delays.push_back(ended->ending.delay.count());
    counts.push_back(ended->ending.counts ? 1 : 0);
    durations.push_back(std::min<std::int64_t>(ended->duration_ms, INT32_MAX));
  }
  Params params;
  params.add_array(keys.ids).add_array(keys.tokens).add_array(statuses).add_array(outcomes).add_array(codes)
      .add_array(messages).add_array(delays).add_array(counts).add_array(durations).add(node_id).add_array(drop);
  return params;
}

ReapedPage read_reaped(const Rows& rows) {
  ReapedPage page;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    page.last_token = rows.integer(i, 0);
    if (rows.is_null(i, 1)) continue;
    ReapedJob job;
    job.id = rows.text(i, 1);
    job.job_type = rows.text(i, 2);
    job.status = rows.text(i, 3);
    job.app = rows.text(i, 4);
    job.attempts = static_cast<int>(rows.integer(i, 5));
    job.max_attempts = static_cast<int>(rows.integer(i, 6));
    job.code = rows.text(i, 7);
    job.message = rows.text(i, 8);
    job.port_id = rows.text(i, rows.columns() > 9 ? 9 : 1);
    page.jobs.push_back(std::move(job));
  }
  return page;
}

void EndedJobs::sort_by_id() {
  std::sort(jobs_.begin(), jobs_.end(), [](const EndedJob* a, const EndedJob* b) { return a->job.id < b->job.id; });
}

}  // namespace rowcrew
