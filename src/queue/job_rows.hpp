// How batches of jobs travel: as parameters of the statements in sql/queries, and as their rows. Pure.
#pragma once

#include <string_view>
#include <vector>

#include <rowcrew/db.hpp>

#include "queue/job_batch.hpp"

namespace rowcrew {

using Ids = std::vector<std::string>;

struct IdsAndTokens {
  Ids ids;
  std::vector<std::int64_t> tokens;
  void add(const Job& job) {
    ids.push_back(job.id);
    tokens.push_back(job.claim_token);
  }
};

struct Claimed {
  std::vector<ClaimedJob> jobs;
  TakenHints taken;
};

Params claim_params(std::int64_t token, NodeIdentity node, const std::vector<ClaimWant>& wants, bool with_marks);
Params limited_params(const Exchange& what);
Params lowered_params(const std::vector<StillRunning>& rows, std::int64_t node_id);
ClaimedJob read_job(const Rows& rows, std::size_t i, std::int64_t token, const std::string& table);
/// A row without an id tells how many hints were taken of a queue.
Claimed read_claimed(const Rows& rows, std::int64_t token, const std::string& table);
/// A row without an id tells of a queue where its next walk begins and when.
void read_limited(const Rows& rows, const std::string& table, Exchanged& done);

Params completed_params(const EndedJobs& jobs, const std::vector<std::int64_t>& drop);
Params ended_params(const EndedJobs& jobs, std::int64_t node_id, const std::vector<std::int64_t>& drop);

/// The last row of a page is of its last claim.
ReapedPage read_reaped(const Rows& rows);

Ids first_column(const Rows& rows);
/// "{00000000-…,…}" as PostgreSQL prints a uuid or text array without special elements.
Ids split_array(std::string_view literal);

}  // namespace rowcrew
