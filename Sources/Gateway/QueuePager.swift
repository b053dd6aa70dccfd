import EventLoop
import Journey
import Ledger
import Logging
import Octets
import PEC
import Reception
import Synchronization
import Threading

/// Brings the lanes what is due: the queue is in the ledger, and the lanes have of it what is due soon, as much as they have room for.
///
/// A page is read in three steps. The lanes hear that it comes and up to what time it goes (`bound`); from then on they keep what is due
/// by that time, and remember whatever leaves them. Then the page is read. When it arrives, a lane takes what it neither has nor has let
/// go meanwhile. So an entry that was settled while the page was being read is not delivered again, and one that was put off is in this
/// page, or in a later one, or was kept. All that is due by the bound and stands before the cursor is with the lanes.
final class QueuePager: Sendable {
  /// Work for the pager's thread.
  enum Work: Sendable {
    /// A second has passed, or a lane has room again.
    case look
    /// A lane had no room for an entry that is due at this time.
    case missed(Int64)
    /// An operator's word on entries, wherever they are.
    indirect case words(QueuePageRequest, then: @Sendable (Result<QueuePageAnswer, any Error>) -> Void)
    /// All of this is to be tried now.
    case hurry(QueueScope, then: @Sendable (Int) -> Void)
    /// The operator holds something, or releases it.
    case hold(QueueRequest, QueueScope, Operator, then: @Sendable (ControlAnswer) -> Void)
    /// What is held is another than before, durably.
    case holdsChanged(then: @Sendable () -> Void)
    /// A delivery report on an entry that no lane has.
    indirect case report(ReceivedDeliveryReport, then: @Sendable ([String]) -> Void)
  }

  /// A new page is read when less than this is left before the bound of the last …
  private static let leastSeconds: Int64 = 30
  /// … which lies so far ahead.
  private static let horizonSeconds: Int64 = 60
  /// Entries read at once. Each keeps its transaction in memory until it is delivered.
  private static let pageSize = 1000

  let shared: SharedState
  let ledger: Ledger
  let inboxes: [Mailbox<LaneMessage>]
  let arriving = Handoff<Work>()
  private let rooms = Handoff<Int>()
  private let thread = Mutex<WorkerThread?>(nil)

  init(_ shared: SharedState, _ ledger: Ledger, inboxes: [Mailbox<LaneMessage>]) {
    self.shared = shared
    self.ledger = ledger
    self.inboxes = inboxes
  }

  /// Begins; once the lanes can be told what is committed from now on. What was committed before is in the first pages.
  func start() {
    thread.withLock { $0 = WorkerThread(name: "queue") { [self] in work() } }
    arriving.send(.look)
  }

  /// Ends the thread; before the lanes, which it waits for.
  func finish() {
    arriving.close()
    thread.withLock {
      $0?.join()
      $0 = nil
    }
  }

  /// Looks whether something is due that the lanes do not have.
  func look() { arriving.send(.look) }

  /// Has the queue read anew: by other settings something may be held no more.
  func readAnew() { arriving.send(.holdsChanged(then: {})) }

  /// A lane let go of an entry for want of room.
  func missed(dueAt: Int64) { arriving.leave(.missed(dueAt)) }

  /// A delivery report on an entry that no lane has; `then` hears what it was about.
  func report(_ report: ReceivedDeliveryReport, then: @escaping @Sendable ([String]) -> Void) {
    if !arriving.send(.report(report, then: then)) { then([Deliveries.unsettled]) }
  }

  // MARK: The thread

  /// How far the queue was read.
  struct Place {
    var cursor = QueueCursor.before(.min)
    /// What is due by then is with the lanes, or behind the cursor.
    var bound = Int64.min
    /// Whether the last page ended for want of room or of patience, and not because there was no more.
    var hasMore = true
    /// What an operator hurried, and is to be brought yet.
    var walks: [QueueWalk] = []
    /// True when the lanes could not be told what is held.
    var holdsAreOld = false
  }

  private func work() {
    var place = Place()
    while let batch = arriving.take() {
      for work in batch { perform(work, &place) }
      if place.holdsAreOld { takeHolds(&place, {}) }
      do { try read(&place) } catch {
        shared.logger.error("the queue cannot be read: \(error)")
        place.hasMore = true
      }
    }
  }

  private func perform(_ work: Work, _ place: inout Place) {
    switch work {
    case .look: break
    case .missed(let dueAt):
      let before = QueueCursor.before(dueAt)
      if before.isBefore(place.cursor) { place.cursor = before }
      place.hasMore = true
    case .hurry(let scope, let then):
      do {
        let walk = try ledger.queueWalk(dueAfter: place.bound, QueueFilter(scope))
        place.walks.append(walk)
        then(walk.count)
      } catch {
        shared.logger.error("the queue cannot be read: \(error)")
        then(0)
      }
    case .words(let request, let then): bring(request, then)
    case .hold(let request, let scope, let person, let then): hold(request, scope, by: person, then)
    case .holdsChanged(let then): takeHolds(&place, then)
    case .report(let report, let then):
      guard let token = report.envelopeID else { return then([]) }
      bring(orElse: [Deliveries.unsettled], then, { try ledger.entry(proofToken: token) }) { inbox, reply in
        inbox.send(.report(report, reply))
      }
    }
  }

  /// Brings the lane of an entry that entry, and then a word about it.
  private func bring(
    orElse failure: [String], _ then: @escaping @Sendable ([String]) -> Void, _ find: () throws -> QueueEntry?,
    _ tell: (Mailbox<LaneMessage>, ControlReply) -> Void
  ) {
    announce(nil)
    var found: [PendingDelivery] = []
    do {
      if let entry = try find() { found = try pending([entry]) }
    } catch {
      shared.logger.error("the queue cannot be read: \(error)")
      distribute([])
      return then(failure)
    }
    distribute(found, isAsked: true)
    guard let entry = found.first?.entry else { return then([]) }
    tell(inboxes[Lane.number(for: entry.pecID, of: inboxes.count)], ControlReply(lanes: 1, then: then))
  }

  /// Reads on, while there is something to read and room for it.
  private func read(_ place: inout Place) throws {
    while !arriving.isClosed {
      let now = shared.now().unixSeconds
      guard place.hasMore || !place.walks.isEmpty || now + QueuePager.leastSeconds > place.bound else { return }
      place.bound = max(place.bound, now + QueuePager.horizonSeconds)
      shared.queueIsLookedAt()
      let room = announce(place.bound)
      guard room > 0 else {
        distribute([])
        // A lane that has room again says so.
        shared.queueIsLookedAt(hasMore: true)
        place.hasMore = true
        return
      }
      let limit = max(100, min(room, QueuePager.pageSize))
      do {
        if !place.hasMore, !place.walks.isEmpty { try readWalk(&place, limit) } else { try readPage(&place, limit) }
      } catch {
        // What was announced must come: until then the lanes remember all that leaves them.
        distribute([])
        throw error
      }
    }
  }

  private func readPage(_ place: inout Place, _ limit: Int) throws {
    let page = try ledger.dueEntries(limit: limit, after: place.cursor, dueBy: place.bound, free: true)
    let pending = try pending(page.entries)
    place.cursor = page.next ?? .behind(place.bound)
    place.hasMore = page.next != nil
    shared.queueIsLookedAt(hasMore: place.hasMore)
    distribute(pending)
  }

  private func readWalk(_ place: inout Place, _ limit: Int) throws {
    guard var walk = place.walks.first else { return }
    let entries = try ledger.entries(of: &walk, limit: limit)
    let pending = try pending(entries.filter { !$0.recipients.isEmpty })
    if entries.isEmpty { place.walks.removeFirst() } else { place.walks[0] = walk }
    distribute(pending, isHurried: true)
  }

  /// Tells the lanes that a page comes. For how many entries they have room.
  @discardableResult
  func announce(_ bound: Int64?) -> Int {
    for inbox in inboxes { inbox.send(.pageComes(bound: bound) { [rooms] room in rooms.send(room) }) }
    var total = 0
    var missing = inboxes.count
    while missing > 0 {
      guard let heard = rooms.take() else { return 0 }
      missing -= heard.count
      total += heard.reduce(0, +)
    }
    return total
  }

  /// Entries with what they are about.
  func pending(_ entries: [QueueEntry]) throws -> [PendingDelivery] {
    var matters: [String: Matter] = [:]
    var pending: [PendingDelivery] = []
    pending.reserveCapacity(entries.count)
    for entry in entries {
      // The reception of our own envelope bears the PEC id itself.
      let key = entry.reception.map { "reception \($0)" } ?? entry.pecID
      guard let known = try matters[key] ?? matter(of: entry) else {
        shared.logger.critical("a queue entry without its transaction is left alone", metadata: ["entry": "\(entry.id)"])
        continue
      }
      matters[key] = known
      pending.append(PendingDelivery(entry: entry, matter: known, recovered: true))
    }
    return pending
  }

  private func matter(of entry: QueueEntry) throws -> Matter? {
    if let id = entry.reception { return try ledger.reception(id: id).map { Matter($0) } }
    return try ledger.transaction(pecID: entry.pecID).map { Matter($0, nil) }
  }

  /// Spreads entries over the lanes; the entries of one transaction stay together.
  func distribute(_ pending: [PendingDelivery], isAsked: Bool = false, isHurried: Bool = false) {
    for (inbox, share) in zip(inboxes, Lane.shares(pending, of: inboxes.count)) {
      inbox.send(.page(QueueShare(entries: share, isAsked: isAsked, isHurried: isHurried)))
    }
  }
}

/// A lane's part of a page.
struct QueueShare: Sendable {
  var entries: [PendingDelivery]
  /// To be kept whatever their time: a word about them follows.
  var isAsked = false
  /// To be tried now.
  var isHurried = false
}
