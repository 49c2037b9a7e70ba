#include "runtime/adopted_tables.hpp"

#include <algorithm>
#include <set>

#include "base/event.hpp"
#include "sql_queries.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {
using namespace std::chrono_literals;
constexpr auto kCheckEvery = 15s;
}  // namespace

TableState* AdoptedTables::find(std::string_view name) const {
  for (const auto& table : state_.tables) {
    if (table->table.name() == name) return table.get();
  }
  return nullptr;
}

bool AdoptedTables::wanted(std::string_view name) const {
  const auto& named = state_.config.adopted;
  return !named || std::find(named->begin(), named->end(), name) != named->end();
}

asio::awaitable<bool> AdoptedTables::reread(std::string now) {
  co_await hold_broken();
  // Not by every node of a large fleet: it reads the catalog for each column of each table.
  const bool some = std::any_of(state_.tables.begin(), state_.tables.end(),
                                [this](const auto& table) { return table->adopted && !table->gone && state_.leads(*table); });
  if (some && state_.clock.mono() >= next_check_) {
    next_check_ = state_.clock.mono() + kCheckEvery;
    co_await hold_changed();
  }
  if (seen_ == now) co_return false;
  const Rows rows = co_await state_.db.query(sql::node_adopted_tables, Params{});
  std::set<std::string, std::less<>> there;
  bool more = false;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string name(rows.text(i, 0));
    if (!wanted(name)) continue;
    there.insert(name);
    const TableState* known = find(name);
    const std::int64_t epoch = rows.integer(i, 1);
    if (known != nullptr && known->epoch == epoch && !known->gone) continue;
    const bool open = rows.text(i, 2) == "serve";
    const bool taken = co_await take(name, epoch, open);
    more = more || taken;
    if (!open) state_.log.warning(event::kTableHeld, {{"table", name}}, rows.text(i, 3));
  }
  for (const auto& table : state_.tables) {
    if (table->adopted && !table->gone && !there.contains(table->table.name())) {
      table->gone = true;
      more = true;
      state_.log.info(event::kTableServed, {{"table", table->table.name()}}, "is not adopted any more");
    }
  }
  seen_ = std::move(now);
  co_return more;
}

/// False: nothing new to claim from.
asio::awaitable<bool> AdoptedTables::take(std::string name, std::int64_t epoch, bool open) {
  Params params;
  params.add(name);
  const Rows rows = co_await state_.db.query(sql::node_adopted_template, std::move(params));
  if (rows.empty() || rows.integer(0, 0) != epoch) co_return false;  // changed again meanwhile: the next heartbeat
  TableMap map = adopted_table_map(name, epoch, rows.text(0, 1));
  state_.table_described(map);
  TableState* table = find(name);
  if (table == nullptr) {
    if (state_.tables.size() >= kMostTables) {
      state_.log.error(event::kTableHeld, {{"table", name}}, "this node serves 64 tables already: name those that it shall in node.tables");
      co_return false;
    }
    state_.tables.push_back(std::make_unique<TableState>(state_.db, map));
    table = state_.tables.back().get();
  } else {
    table->table.describe(map);
    table->control.describe(std::move(map));
    table->door.clear();
  }
  table->epoch = epoch;
  table->gone = false;
  table->open = open;
  if (open) state_.log.info(event::kTableServed, {{"table", name}, {"epoch", epoch}}, "adopted table: claiming from it");
  co_return open;
}

asio::awaitable<void> AdoptedTables::hold(std::string name, std::int64_t epoch, std::string reason) {
  Params params;
  params.add(name).add(epoch).add(reason);
  const Rows rows = co_await state_.db.query(sql::node_hold_adopted, std::move(params));
  if (!rows.boolean(0, 0)) co_return;  // somebody was quicker
  state_.log.error(event::kTableHeld, {{"table", name}}, reason + ": held until \"rowcrew adopt --repair\"");
}

/// What statements were refused for. The comparison below names the column better, if it finds it.
asio::awaitable<void> AdoptedTables::hold_broken() {
  for (const auto& table : state_.tables) {
    if (!table->adopted || !table->open || table->door.fault().empty()) continue;
    co_await hold_changed();
    std::string name = table->table.name();
    std::string fault = table->door.fault();
    co_await hold(std::move(name), table->epoch, std::move(fault));
    table->open = false;
  }
}

asio::awaitable<void> AdoptedTables::hold_changed() {
  const Rows rows = co_await state_.db.query(sql::node_adopted_faults, Params{});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::string name(rows.text(i, 0));
    std::string fault(rows.text(i, 2));
    co_await hold(std::move(name), rows.integer(i, 1), std::move(fault));
  }
}

}  // namespace rowcrew
