import Journey
import Ledger
import Octets
import PEC

/// What a trace says in words.
enum TraceWords {
  /// `5 s`, `3 m`, `2 h 10 m`, `3 d`.
  static func span(_ seconds: Int64) -> String {
    let seconds = max(0, seconds)
    if seconds < 120 { return "\(seconds) s" }
    if seconds < 7200 { return "\(seconds / 60) m" }
    if seconds < 172_800 { return seconds / 60 % 60 == 0 ? "\(seconds / 3600) h" : "\(seconds / 3600) h \(seconds / 60 % 60) m" }
    return "\(seconds / 86_400) d"
  }

  /// A row of the log.
  static func words(_ event: EventRecord) -> String {
    var parts: [String] = []
    if let recipient = event.recipient { parts.append(recipient) }
    if let error = event.error, error != CertificationError.none.rawValue { parts.append("error \(error)") }
    if let detail = event.detail, !detail.isEmpty { parts.append(detail) }
    if let made = event.relatedIDs.first, made != event.pecID { parts.append("[\(made)]") }
    return parts.isEmpty ? "\(event.bytes) octets" : parts.joined(separator: "; ")
  }

  /// A deadline that runs.
  static func words(_ watch: DeadlineWatch, now: Int64) -> String {
    let what = watch.stage == .first ? "the 12 h notice" : "the 24 h notice"
    let condition =
      watch.stage == .first ? "for whoever is neither taken in charge nor settled by then" : "for whoever is not settled by then"
    let time = QueueCommands.time(watch.dueAt)
    return watch.dueAt > now
      ? "\(what) goes out at \(time), in \(span(watch.dueAt - now)), \(condition)" : "\(what) is due since \(time), \(condition)"
  }

  /// An entry of the queue.
  static func words(_ entry: QueueEntry, _ holds: QueueHolds = QueueHolds(), now: Int64) -> String {
    var parts = ["\(entry.kind.rawValue) by \(entry.route.text) to \((entry.recipients + entry.awaiting).joined(separator: ", "))"]
    parts.append(attempts(entry, holds, now))
    return parts.joined(separator: ": ")
  }

  static func attempts(_ entry: QueueEntry, _ holds: QueueHolds, _ now: Int64) -> String {
    if entry.recipients.isEmpty { return "the mailbox server took it, and its delivery report is awaited" }
    if let hold = holds.hold(on: entry) {
      let reason = hold.reason.isEmpty ? "" : " (\(hold.reason))"
      return "the operator holds \(hold.scope.words) since \(QueueCommands.time(hold.heldAt))\(reason)"
    }
    let next = entry.dueAt <= now ? "now" : "in \(span(entry.dueAt - now))"
    guard entry.attempts > 0 else { return "the first attempt is \(next)" }
    return "\(entry.attempts) attempts, the next \(next); last: \(entry.lastError ?? "no word")"
  }
}

/// What a trace says of each recipient of a message: how far it is for him, and why it is no further.
struct TraceFates {
  private let events: [EventRecord]
  private let entries: [QueueEntry]
  private let watch: DeadlineWatch?
  private let isAccepted: Bool
  private let holds: QueueHolds
  private let now: Int64
  // How receipts and notices fare on their way to the sender, by Message-ID: rows and entries name him, and not whom they are about.
  private let delivered: Set<String>
  private let dropped: [String: EventRecord]
  private let waiting: [String: QueueEntry]

  /// - Parameters:
  ///   - events: all rows about the message, oldest first.
  ///   - entries: all entries of the queue about it.
  ///   - watch: the deadline that runs for it; nil when none does.
  ///   - isAccepted: false for a message of our own sender that was not accepted.
  ///   - now: Unix seconds.
  ///   - holds: what the operator holds of the queue.
  init(
    _ events: [EventRecord], _ entries: [QueueEntry], _ watch: DeadlineWatch?, isAccepted: Bool, now: Int64,
    holds: QueueHolds = QueueHolds()
  ) {
    self.holds = holds
    self.events = events
    self.entries = entries
    self.watch = watch
    self.isAccepted = isAccepted
    self.now = now
    delivered = Set(events.filter { $0.kind == .noticeDelivered }.flatMap(\.relatedIDs))
    dropped = Dictionary(
      events.filter { $0.kind == .noticeDropped }.flatMap { row in row.relatedIDs.map { ($0, row) } }, uniquingKeysWith: { $1 })
    waiting = Dictionary(entries.map { ($0.messageID, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// A recipient's fate.
  func fate(_ status: RecipientStatus) -> MessageTrace.Fate {
    let recipient = status.recipient
    return MessageTrace.Fate(
      address: recipient.address, recipientClass: recipient.recipientClass.rawValue, state: status.state.rawValue,
      since: QueueCommands.time(status.changedAt), why: why(recipient, status.state, since: status.changedAt))
  }

  /// Why there is no receipt, or where it is.
  func why(_ recipient: Recipient, _ state: RecipientStatus.State, since: Int64) -> String {
    if !isAccepted { return "The message was not accepted: nothing was sent to anybody, and the sender has a notice that says why." }
    let story = Story(recipient.address, events, entries)
    switch state {
    case .delivered:
      let receipts = story.receipts
      return receipts.isEmpty
        ? "It is in the mailbox; the log has no receipt for it." : "It is in the mailbox, and the receipt \(way(of: receipts))."
    case .failed: return lost(story)
    case .refused: return "The message was not accepted: nothing was sent to him."
    case .open:
      if let way = story.way { return story.isAwaited ? awaited : "It has not left us yet: \(TraceWords.attempts(way, holds, now))." }
      return "It has not left us yet, and nothing in the queue would take it: look at the log lines of that time."
    case .relayed:
      let reply = story.rows(.envelopeSent).last?.detail.map { " with the words \"\($0)\"" } ?? ""
      if recipient.recipientClass == .ordinary { return "The next hop took it\(reply). Ordinary mail: no receipt will come." }
      return
        "The next hop took it \(TraceWords.span(now - since)) ago\(reply), and his provider has not answered since: neither take-charge "
        + "nor delivery has come back. " + silence(story, state)
    case .takenInCharge:
      if let way = story.way { return story.isAwaited ? awaited : "It is not in the mailbox yet: \(TraceWords.attempts(way, holds, now))." }
      return
        "His provider has had it in charge for \(TraceWords.span(now - since)) and has not said that it is in the mailbox: no delivery "
        + "receipt has come back. " + silence(story, state)
    }
  }

  private var awaited: String { "The mailbox server took it and has not yet reported that it is in the mailbox." }

  /// What concerns one recipient.
  private struct Story {
    /// Rows about him, oldest first.
    let events: [EventRecord]
    /// The message itself on its way to him.
    let way: QueueEntry?
    /// True when the mailbox server has it and has not said what became of it.
    let isAwaited: Bool

    init(_ address: String, _ events: [EventRecord], _ entries: [QueueEntry]) {
      self.events = events.filter { event in event.recipient.map { ASCII.equal($0, address) } ?? false }
      way = entries.first { entry in
        (entry.kind == .envelope || entry.kind == .anomaly || entry.kind == .ordinary)
          && (entry.recipients + entry.awaiting).contains { ASCII.equal($0, address) }
      }
      isAwaited = way?.awaiting.contains { ASCII.equal($0, address) } ?? false
    }

    func rows(_ kinds: EventKind...) -> [EventRecord] { events.filter { kinds.contains($0.kind) } }

    /// Rows of delivery receipts, ours and those that came from his provider.
    var receipts: [EventRecord] {
      rows(.delivery, .notificationReceived).filter { $0.kind == .delivery || $0.error == CertificationError.none.rawValue }
    }

    /// Rows of notices that it will not be delivered, ours and those that came from his provider.
    var refusals: [EventRecord] {
      rows(.nonDelivery, .virusNonDelivery, .notificationReceived).filter {
        $0.kind != .notificationReceived || $0.error != CertificationError.none.rawValue
      }
    }
  }

  /// What became of the receipts or notices that these rows made or brought.
  private func way(of rows: [EventRecord], to whom: String = "the sender") -> String {
    let ids = rows.flatMap(\.relatedIDs)
    if ids.contains(where: delivered.contains) { return "went to \(whom)" }
    if let entry = ids.compactMap({ waiting[$0] }).first {
      return "is here and waits to be delivered to \(whom) (\(TraceWords.attempts(entry, holds, now)))"
    }
    if let row = ids.compactMap({ dropped[$0] }).last {
      return "could not be delivered to \(whom) and was given up\(row.detail.map { " (\($0))" } ?? "")"
    }
    return "is here, and the log does not say what became of it"
  }

  private func lost(_ story: Story) -> String {
    let (refusals, detections) = (story.refusals, story.rows(.virusDetection))
    let reason = refusals.last ?? detections.last ?? story.rows(.dropped, .noticeDropped).last
    let told =
      if !refusals.isEmpty {
        "the notice instead of a receipt \(way(of: refusals))"
      } else if !detections.isEmpty {
        "the notice of the virus \(way(of: detections, to: "the sender's provider"))"
      } else {
        "the log has no certified notice of it"
      }
    return "It will not be delivered\(reason?.detail.map { ": \($0)" } ?? ""); \(told)."
  }

  /// What the sender is told, and when, while nothing final is heard (RFC 6109 §3.1.6).
  private func silence(_ story: Story, _ state: RecipientStatus.State) -> String {
    let (first, second) = (story.rows(.timeoutFirst), story.rows(.timeoutSecond))
    if !second.isEmpty { return told(second, hours: 24) + "; a receipt may still come." }
    let isAgain = watch?.stage == .second
    if !first.isEmpty { return told(first, hours: 12) + (isAgain ? ", and another is due when the deadline below passes." : ".") }
    guard let watch else {
      return "No deadline runs for it, as for all that was over 24 hours old when deadlines came into use: the sender will not be told."
    }
    // Whoever was taken in charge the first stage passes over.
    if watch.stage == .first, state == .takenInCharge {
      return "The 12 h notice is not about him; the sender is told if nothing has come when 24 hours are nearly over."
    }
    return "The sender is told when the deadline below passes, if nothing has come by then."
  }

  private func told(_ notices: [EventRecord], hours: Int) -> String {
    notices.flatMap(\.relatedIDs).contains(where: delivered.contains)
      ? "The sender was told after \(hours) hours" : "The \(hours) h notice \(way(of: notices))"
  }
}
