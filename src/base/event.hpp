// Every event name that the log may carry, in one place: searchable, testable, stable over
// releases. `noun.verb`; a kind's own events start with the kind's name.
#pragma once

#include <string_view>

namespace rowcrew::event {

using E = std::string_view;

// Process
inline constexpr E kNodeStarted = "node.started";
inline constexpr E kNodeReady = "node.ready";
inline constexpr E kNodeStuck = "node.stuck";
inline constexpr E kNodeStopping = "node.stopping";
inline constexpr E kNodeStopped = "node.stopped";
inline constexpr E kWorkFailing = "work.failing";
inline constexpr E kWorkResumed = "work.resumed";
inline constexpr E kServiceRestarted = "service.restarted";
inline constexpr E kServiceFailed = "service.failed";
inline constexpr E kLimitLow = "limit.low";
inline constexpr E kLogDropped = "log.dropped";

// Database
inline constexpr E kDbUnreachable = "db.unreachable";
inline constexpr E kDbCrowded = "db.crowded";
inline constexpr E kDbReconnected = "db.reconnected";
inline constexpr E kListenerAbsent = "listener.absent";
inline constexpr E kListenerLost = "listener.lost";
inline constexpr E kListenerReady = "listener.ready";
inline constexpr E kSchemaMigrated = "schema.migrated";

// Jobs
inline constexpr E kJobStarted = "job.started";
inline constexpr E kJobCompleted = "job.completed";
inline constexpr E kJobRetry = "job.retry";
inline constexpr E kJobSnoozed = "job.snoozed";
inline constexpr E kJobFailed = "job.failed";
inline constexpr E kJobCancelled = "job.cancelled";
inline constexpr E kJobCancelRequested = "job.cancel_requested";
inline constexpr E kJobCancelLate = "job.cancel_late";
inline constexpr E kJobHeld = "job.held";
inline constexpr E kJobUnheld = "job.unheld";
inline constexpr E kJobProgress = "job.progress";
inline constexpr E kJobBug = "job.bug";
inline constexpr E kJobStuck = "job.stuck";
inline constexpr E kJobReleased = "job.released";
inline constexpr E kJobClaimLost = "job.claim_lost";
inline constexpr E kJobUnserved = "job.unserved";
inline constexpr E kJobUnclaimable = "job.unclaimable";
inline constexpr E kJobUnwritable = "job.unwritable";
inline constexpr E kJobRescued = "job.rescued";
inline constexpr E kJobPoison = "job.poison";
inline constexpr E kPortFailed = "port.failed";
inline constexpr E kPortMismatch = "port.mismatch";
inline constexpr E kTableServed = "table.served";
inline constexpr E kTableHeld = "table.held";

// Claims and leases
inline constexpr E kClaimFailed = "claim.failed";
inline constexpr E kClaimReconciled = "claim.reconciled";
inline constexpr E kLeaseStopping = "lease.stopping";
inline constexpr E kLeaseLost = "lease.lost";
inline constexpr E kNodeDead = "node.dead";
inline constexpr E kGateEnded = "gate.session_ended";
inline constexpr E kHintHealed = "hint.healed";
inline constexpr E kPauseChanged = "pause.changed";
inline constexpr E kTickEnqueued = "tick.enqueued";
inline constexpr E kTickSkipped = "tick.skipped";
inline constexpr E kCommandDone = "command.done";

// Model providers, whichever kind calls them
inline constexpr E kProviderClosed = "provider.closed";
inline constexpr E kProviderOpened = "provider.opened";
inline constexpr E kProviderNotBooked = "provider.not_booked";

// Child programs
inline constexpr E kChildEnded = "child.ended";
inline constexpr E kChildLost = "child.lost";

// HTTP server
inline constexpr E kHttpAcceptFailed = "http.accept_failed";
inline constexpr E kHttpHandlerFailed = "http.handler_failed";
inline constexpr E kMetricsListening = "metrics.listening";

// Ingest
inline constexpr E kIngestEnqueued = "ingest.enqueued";
inline constexpr E kIngestIgnored = "ingest.ignored";
inline constexpr E kIngestRefused = "ingest.refused";
inline constexpr E kIngestReady = "ingest.ready";
inline constexpr E kIngestNotSetUp = "ingest.not_set_up";
inline constexpr E kIngestStopping = "ingest.stopping";
inline constexpr E kIngestStopped = "ingest.stopped";

// The page
inline constexpr E kWebReady = "web.ready";
inline constexpr E kWebActed = "web.acted";
inline constexpr E kWebRefused = "web.refused";

}  // namespace rowcrew::event
