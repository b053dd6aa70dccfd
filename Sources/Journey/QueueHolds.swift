import Octets
import PEC

/// What of the queue an operator speaks of.
public enum QueueScope: Sendable, Hashable {
  /// Everything, and what comes later.
  case all
  /// What goes by a route.
  case route(Route)
  /// What goes to recipients of a domain, in lower case.
  case domain(String)
  /// One entry.
  case entry(String)
  /// What a restored backup brought back: the entries that were made up to this time (Unix seconds).
  case restored(until: Int64)
  /// The notices of silence about messages that a restored backup brought back: the transactions up to this row. No entries.
  case notices(through: Int64)

  /// The kind of scope, as it is stored: `all`, `route`, `domain`, `entry`.
  public var kind: String {
    switch self {
    // Told apart by their names: what they are about goes through all routes and domains.
    case .all, .restored, .notices: "all"
    case .route: "route"
    case .domain: "domain"
    case .entry: "entry"
    }
  }

  /// The route's text, the domain or the entry's id; empty for everything.
  public var name: String {
    switch self {
    case .all: ""
    case .route(let route): route.text
    case .domain(let domain): domain
    case .entry(let id): id
    case .restored(let time): QueueScope.restoredName + "\(time)"
    case .notices(let row): QueueScope.noticesName + "\(row)"
    }
  }

  /// How names of the scopes of a restore begin.
  public static let restoredName = "restored "
  public static let noticesName = "notices "

  /// Reads what `kind` and `name` wrote; nil for anything else.
  public init?(kind: String, name: String) {
    switch kind {
    case "all" where name.isEmpty: self = .all
    case "all":
      if name.hasPrefix(QueueScope.restoredName), let time = Int64(name.dropFirst(QueueScope.restoredName.count)) {
        self = .restored(until: time)
      } else if name.hasPrefix(QueueScope.noticesName), let row = Int64(name.dropFirst(QueueScope.noticesName.count)) {
        self = .notices(through: row)
      } else {
        return nil
      }
    case "route":
      guard let route = Route(text: name) else { return nil }
      self = .route(route)
    case "domain" where !name.isEmpty: self = .domain(ASCII.lowercased(name))
    case "entry" where !name.isEmpty: self = .entry(name)
    default: return nil
    }
  }

  /// For people: `everything`, `route relay:default`, `domain pec.example.it`, `entry ID`.
  public var words: String {
    switch self {
    case .all: "everything"
    case .restored: "what was restored"
    case .notices: "notices of silence about what was restored"
    case .route, .domain, .entry: "\(kind) \(name)"
    }
  }

  /// The domain of an address in lower case: what follows its last `@`.
  public static func domain(of address: String) -> String {
    let at = address.utf8.lastIndex(of: UInt8(ascii: "@")).map { address.utf8.index(after: $0) } ?? address.startIndex
    return ASCII.lowercased(String(address[at...]))
  }
}

/// An operator's word that something of the queue waits until he says otherwise.
public struct QueueHold: Sendable, Equatable {
  public var scope: QueueScope
  /// Why, in the operator's words; may be empty.
  public var reason: String
  /// Unix seconds.
  public var heldAt: Int64
  /// Unix seconds; nil while it holds.
  public var releasedAt: Int64?

  /// A hold of these fields.
  public init(scope: QueueScope, reason: String = "", heldAt: Int64, releasedAt: Int64? = nil) {
    self.scope = scope
    self.reason = reason
    self.heldAt = heldAt
    self.releasedAt = releasedAt
  }
}

/// All that is held, and what was while entries of that time are in the queue.
///
/// A hold stops attempts and nothing else: reports are still believed, and deadlines still tell the sender that nothing has come
/// (RFC 6109 §3.1.6). The time that a recipient was held does not count towards giving him up.
public struct QueueHolds: Sendable, Equatable {
  private var known: [QueueScope: [QueueHold]] = [:]
  /// What is held now, the oldest first.
  public let open: [QueueHold]
  /// Holds, past and present.
  public let count: Int
  private let restores: [QueueHold]

  /// Everything that is known of holds, in any order.
  public init(_ holds: [QueueHold] = []) {
    known = Dictionary(grouping: holds, by: \.scope)
    open = holds.filter { $0.releasedAt == nil }.sorted { $0.heldAt < $1.heldAt }
    count = holds.count
    restores = holds.filter { if case .restored = $0.scope { true } else { false } }
  }

  /// The hold of exactly this scope; nil when it is not held.
  public func hold(of scope: QueueScope) -> QueueHold? { known[scope]?.first { $0.releasedAt == nil } }

  /// The hold on what a backup brought back; nil when none was restored, or all of it was released.
  public var restored: QueueHold? { open.last { if case .restored = $0.scope { true } else { false } } }

  /// The hold on the notices of silence about what a backup brought back.
  public var notices: QueueHold? { open.last { if case .notices = $0.scope { true } else { false } } }

  /// Whether a part was released of what a backup brought back. Such a part is a hold of its own, which began with the other and ended.
  public func isFree(_ scope: QueueScope, of restored: QueueHold) -> Bool {
    known[scope]?.contains { $0.heldAt == restored.heldAt && $0.releasedAt != nil } ?? false
  }

  /// Why a recipient of an entry waits; nil when he does not.
  /// - Parameter route: where the entry goes when its own route is in the configuration no more; nil for its own.
  public func hold(on recipient: String, of entry: QueueEntry, by route: Route? = nil) -> QueueHold? {
    if open.isEmpty { return nil }
    return scopes(recipient, entry, route).lazy.compactMap { hold(of: $0) }.first
      ?? restoring(recipient, entry, route).first { $0.releasedAt == nil }
  }

  /// Why an entry waits: all its recipients whose fate is open are held. Nil when it does not, or waits for reports alone and was not
  /// restored.
  public func hold(on entry: QueueEntry, by route: Route? = nil) -> QueueHold? {
    if open.isEmpty { return nil }
    var found: QueueHold?
    // The report that is awaited may have come to the gateway that was lost: that none came is not known yet.
    let awaitsReports = entry.recipients.isEmpty && restores.contains { $0.releasedAt == nil && $0.scope.covers(entry) }
    for recipient in awaitsReports ? entry.awaiting : entry.recipients {
      guard let hold = hold(on: recipient, of: entry, by: route) else { return nil }
      found = found ?? hold
    }
    return found
  }

  /// The recipients whom an attempt may be made for.
  public func free(of entry: QueueEntry, by route: Route? = nil) -> [String] {
    open.isEmpty ? entry.recipients : entry.recipients.filter { hold(on: $0, of: entry, by: route) == nil }
  }

  /// Seconds that a recipient of an entry was held for, from its making to `now` (Unix seconds); of holds that overlap each second counts
  /// once.
  public func heldSeconds(_ recipient: String, of entry: QueueEntry, by route: Route? = nil, until now: Int64) -> Int64 {
    if known.isEmpty { return 0 }
    // A part of a restore that was released began with it, and was never about what is new.
    let strangers = Set(restores.filter { !$0.scope.covers(entry) }.map(\.heldAt))
    let own = scopes(recipient, entry, route).flatMap { known[$0] ?? [] }.filter { !strangers.contains($0.heldAt) }
    let spans = (own + restoring(recipient, entry, route))
      .map { (from: max($0.heldAt, entry.createdAt), to: min($0.releasedAt ?? now, now)) }
      .sorted { $0.from < $1.from }
    var (sum, end): (Int64, Int64) = (0, .min)
    for span in spans where span.to > max(span.from, end) {
      sum += span.to - max(span.from, end)
      end = span.to
    }
    return sum
  }

  /// The longest that any recipient of an entry was held for, awaited ones too.
  public func heldSeconds(_ entry: QueueEntry, by route: Route? = nil, until now: Int64) -> Int64 {
    if known.isEmpty { return 0 }
    return (entry.recipients + entry.awaiting).reduce(0) { max($0, heldSeconds($1, of: entry, by: route, until: now)) }
  }

  /// The holds of restores, past and present, that are about a recipient.
  private func restoring(_ recipient: String, _ entry: QueueEntry, _ route: Route?) -> [QueueHold] {
    if restores.isEmpty { return [] }
    let narrower = scopes(recipient, entry, route)
    return restores.filter { hold in hold.scope.covers(entry) && !narrower.contains { isFree($0, of: hold) } }
  }

  private func scopes(_ recipient: String, _ entry: QueueEntry, _ route: Route?) -> [QueueScope] {
    let own: [QueueScope] = [.all, .route(entry.route), .domain(QueueScope.domain(of: recipient)), .entry(entry.id)]
    return route.map { own + [.route($0)] } ?? own
  }
}

extension QueueScope {
  /// True when an entry is meant, or some of its recipients.
  public func covers(_ entry: QueueEntry) -> Bool { !recipients(of: entry).isEmpty }

  /// The recipients of an entry that are meant, those of whom a report is awaited too.
  public func recipients(of entry: QueueEntry) -> [String] {
    let all = entry.recipients + entry.awaiting
    return switch self {
    case .all: all
    case .route(let route): entry.route == route ? all : []
    case .domain(let domain): all.filter { QueueScope.domain(of: $0) == domain }
    case .entry(let id): entry.id == id ? all : []
    case .restored(let time): entry.createdAt <= time ? all : []
    case .notices: []
    }
  }
}
