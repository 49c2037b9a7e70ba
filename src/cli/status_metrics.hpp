// The state of the fleet for a monitoring system. Pure.
#pragma once

#include <string>

#include "cli/status_report.hpp"

namespace rowcrew::cli {

/// In the text format of Prometheus, 0.0.4
/// (https://prometheus.io/docs/instrumenting/exposition_formats/). A queue that a live node serves has a
/// series of each table also while nothing waits there, so that "0" and "not measured" differ.
std::string status_metrics(const FleetStatus& fleet);

}  // namespace rowcrew::cli
