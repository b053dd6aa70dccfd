public import Journey

/// What of the queue goes to one destination, in numbers.
public struct QueueDestination: Sendable, Equatable {
  public var route: Route
  /// The recipients' domain; nil for the whole route, empty for the domains that no row was left for.
  public var domain: String?
  public var entries = 0
  /// Recipients whose fate is open.
  public var recipients = 0
  /// Recipients of whom a report of the mailbox server is awaited.
  public var awaiting = 0
  /// Octets of the entries' messages.
  public var bytes = 0
  /// Entries that have a recipient here who is held.
  public var held = 0
  /// Unix seconds of the oldest entry.
  public var oldestCreatedAt = Int64.max
  /// Unix seconds of the earliest attempt that will be made; nil when none will.
  public var nextDueAt: Int64?
  /// The last error that most entries have, and how many have it; nil where nothing has failed.
  public var lastError: (text: String, entries: Int)? {
    errors.max { ($0.value, $1.key) < ($1.value, $0.key) }.map { ($0.key, $0.value) }
  }
  /// Entries by age: as many as bounds were given, and one more for those beyond.
  public var ages: [Int]
  private var errors: [String: Int] = [:]

  /// Different errors that are counted: when all are told apart by a number in them, the first must do.
  private static let errorTexts = 100

  init(route: Route, domain: String?, ages: Int) {
    self.route = route
    self.domain = domain
    self.ages = Array(repeating: 0, count: ages)
  }

  mutating func add(_ entry: QueueEntry, open: Int, awaiting: Int, isHeld: Bool, isTried: Bool, age: Int) {
    entries += 1
    recipients += open
    self.awaiting += awaiting
    bytes += entry.bytes
    if isHeld { held += 1 }
    if isTried { nextDueAt = min(nextDueAt ?? .max, entry.dueAt) }
    oldestCreatedAt = min(oldestCreatedAt, entry.createdAt)
    ages[age] += 1
    guard let error = entry.lastError, !error.isEmpty else { return }
    if errors.count < QueueDestination.errorTexts || errors[error] != nil { errors[error, default: 0] += 1 }
  }
}

extension LedgerReading {
  /// The queue by destination: each route, followed by its domains, the largest first.
  ///
  /// Read in pages, so that no reading lasts: what comes or goes meanwhile may be in it or not.
  /// - Parameters:
  ///   - now: Unix seconds.
  ///   - ageSeconds: upper bounds of ages, ascending.
  ///   - most: domains of a route that are told apart; the rest is one row.
  public func queueDestinations(at now: Int64, ageSeconds: [Int64], most: Int = 10_000) throws(LedgerError) -> [QueueDestination] {
    let holds = try queueHolds()
    var routes: [Route: [String?: QueueDestination]] = [:]
    var place: Int64?
    repeat {
      let page = try queueSelection(QueueFilter(), after: place, limit: 2000)
      for entry in page.entries {
        let age = ageSeconds.firstIndex { now - entry.createdAt <= $0 } ?? ageSeconds.count
        var domains: [String: (open: Int, awaiting: Int, isHeld: Bool)] = [:]
        for recipient in entry.recipients {
          let isHeld = holds.hold(on: recipient, of: entry) != nil
          let known = domains[QueueScope.domain(of: recipient)] ?? (0, 0, false)
          domains[QueueScope.domain(of: recipient)] = (known.open + 1, known.awaiting, known.isHeld || isHeld)
        }
        for recipient in entry.awaiting { domains[QueueScope.domain(of: recipient), default: (0, 0, false)].awaiting += 1 }
        var known = routes.removeValue(forKey: entry.route) ?? [:]
        known[nil, default: QueueDestination(route: entry.route, domain: nil, ages: ageSeconds.count + 1)].add(
          entry, open: entry.recipients.count, awaiting: entry.awaiting.count, isHeld: domains.values.contains(where: \.isHeld),
          isTried: domains.values.contains { $0.open > 0 && !$0.isHeld }, age: age)
        for (name, part) in domains {
          let domain = known.count <= most || known[name] != nil ? name : ""
          known[domain, default: QueueDestination(route: entry.route, domain: domain, ages: ageSeconds.count + 1)].add(
            entry, open: part.open, awaiting: part.awaiting, isHeld: part.isHeld, isTried: part.open > 0 && !part.isHeld, age: age)
        }
        routes[entry.route] = known
      }
      place = page.next
    } while place != nil
    let largest = { (left: QueueDestination, right: QueueDestination) in
      (left.entries, right.domain ?? right.route.text) > (right.entries, left.domain ?? left.route.text)
    }
    return routes.values.compactMap { rows in rows[nil].map { ($0, rows) } }.sorted { largest($0.0, $1.0) }.flatMap { whole, rows in
      [whole] + rows.values.filter { $0.domain != nil }.sorted(by: largest)
    }
  }
}
