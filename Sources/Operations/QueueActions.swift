import Foundation
import Gateway
import Journey
import Ledger
import Octets
import PEC

/// What an operator's command is about: one entry, a route, a domain, or everything.
public struct QueueChoice: Sendable {
  let scope: QueueScope
  /// True for what a restore brought back: up to when, the ledger says.
  let isRestored: Bool

  /// - Parameters:
  ///   - entry: id of an entry.
  ///   - route: `mailbox`, or the name of a route, with `relay:` or without.
  ///   - domain: recipients' domain.
  ///   - restored: what a restored backup brought back.
  /// - Throws: `CommandFailure` with code 64 when it is not one of them, or all.
  public init(entry: String? = nil, route: String? = nil, domain: String? = nil, all: Bool = false, restored: Bool = false)
    throws(CommandFailure)
  {
    let named = [entry, route, domain].compactMap { $0 }.count + (all ? 1 : 0) + (restored ? 1 : 0)
    guard named == 1 else {
      throw CommandFailure("name one entry, or one of --route, --domain, --restored and --all", exitCode: CommandFailure.usage)
    }
    isRestored = restored
    if let route {
      scope = .route(QueueChoice.route(route))
    } else if let domain {
      guard let read = QueueScope(kind: "domain", name: domain.hasPrefix("@") ? String(domain.dropFirst()) : domain) else {
        throw CommandFailure("a domain has a name", exitCode: CommandFailure.usage)
      }
      scope = read
    } else {
      scope = entry.map { .entry($0) } ?? .all
    }
  }

  static func route(_ text: String) -> Route { Route(text: text) ?? .relay(text) }

  /// The request for a word about it.
  func request(_ word: QueueRequest.Word) -> QueueRequest {
    var request = QueueRequest(word)
    switch scope {
    case .all: break
    case .route(let route): request.route = route.text
    case .domain(let domain): request.domain = domain
    case .entry(let id): request.entry = id
    case .restored(let time): request.restored = time
    case .notices: break
    }
    return request
  }

  private init(scope: QueueScope) { (self.scope, isRestored) = (scope, true) }

  /// The same with what the ledger knows: up to when entries were restored.
  func known(to configurationFile: String) throws -> QueueChoice {
    guard isRestored else { return self }
    guard let hold = try QueueCommands.ledger(configurationFile).queueHolds().restored else {
      throw CommandFailure("nothing waits because of a restore", exitCode: CommandFailure.noInput)
    }
    return QueueChoice(scope: hold.scope)
  }
}

extension QueueCommands {
  /// Has an entry, or all of a destination, tried now.
  public static func retry(_ choice: QueueChoice, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let choice = try choice.known(to: configurationFile)
    let answer = try ask(choice.request(.retry), configurationFile)
    if json { return try finish(answer, say) }
    guard answer.ok else { throw CommandFailure(answer.message, exitCode: CommandFailure.noInput) }
    if case .entry(let id) = choice.scope {
      // Who is under way is being tried at this moment.
      return say("tried now: \(id)")
    }
    say("tried as soon as there is room: \(answer.message)")
  }

  /// Gives up an entry, or all of a destination: for an envelope the sender gets a signed notice for each recipient (RFC 6109 §2.2.2).
  ///
  /// Of many, receipts and notices stay: nobody is told of those, because there is no notice about a notice.
  /// - Parameters:
  ///   - isSure: false says what would be given up, and does nothing of it.
  ///   - withReceipts: true gives up receipts and notices too.
  ///   - progress: hears how far it is.
  public static func bounce(
    _ choice: QueueChoice, isSure: Bool, withReceipts: Bool, configurationFile: String, json: Bool, say: (String) -> Void,
    progress: (String) -> Void = { _ in }
  ) throws {
    let choice = try choice.known(to: configurationFile)
    if case .entry = choice.scope {
    } else if !isSure {
      let ledger = try ledger(configurationFile)
      let all = try ledger.queueCount(QueueFilter(choice.scope))
      var filter = QueueFilter(choice.scope)
      filter.kinds = [.envelope, .ordinary]
      let told = try ledger.queueCount(filter)
      let rest = withReceipts ? "of them are receipts and notices, of which nobody is told" : "receipts and notices stay"
      throw CommandFailure(
        "\(withReceipts ? all : told) entries would be given up, and senders of certified mail get a signed notice for each recipient; "
          + "\(all - told) \(rest). Say --yes",
        exitCode: CommandFailure.usage)
    }
    var request = choice.request(.bounce)
    request.withReceipts = withReceipts
    var total = QueueAnswer()
    repeat {
      let answer = try ask(request, configurationFile)
      guard answer.ok, let told = answer.queue else { throw CommandFailure(answer.message, exitCode: CommandFailure.unavailable) }
      total.done += told.done
      total.underWay += told.underWay
      total.failed += told.failed
      (request.after, request.end) = (told.next, told.end)
      progress("given up: \(total.done) entries")
      if told.failed > 0, told.done == 0 { break }
    } while request.after != nil
    try conclude(choice, total, json: json, say)
  }

  private static func conclude(_ choice: QueueChoice, _ total: QueueAnswer, json: Bool, _ say: (String) -> Void) throws {
    let isOne = if case .entry = choice.scope { true } else { false }
    let name = if case .entry(let id) = choice.scope { id } else { "\(total.done) entries" }
    if json {
      say(try Output.json(total))
    } else if total.done > 0 || !isOne {
      say("given up: \(name)")
    }
    if !json, total.underWay > 0 {
      say("under way, given up when the attempt ends without success: \(isOne ? name : "\(total.underWay) entries")")
    }
    if total.failed > 0 {
      throw CommandFailure(
        "\(total.failed) entries could not be given up now, and the rest was left alone: `ceralacca check` and the log say why",
        exitCode: CommandFailure.tryAgain)
    }
    if isOne, total.done + total.underWay == 0 {
      throw CommandFailure(json ? "" : "no entry \(name) is in the queue", exitCode: CommandFailure.noInput)
    }
  }

  /// Holds an entry or a destination, with what comes for it later, until it is released.
  public static func hold(
    _ choice: QueueChoice, reason: String, configurationFile: String, json: Bool, say: (String) -> Void
  ) throws {
    var request = choice.request(.hold)
    request.reason = reason
    var answer = try ask(request, configurationFile)
    guard answer.ok, !json else { return try finish(answer, say) }
    answer = try ask(choice.request(.underWay), configurationFile)
    let (underWay, waiting) = (answer.queue?.underWay ?? 0, try heldCount(choice, configurationFile))
    say("held: \(choice.scope.words); \(waiting) entries wait, \(underWay) under way may finish")
  }

  /// Takes a hold back.
  public static func release(_ choice: QueueChoice, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let choice = try choice.known(to: configurationFile)
    let before = json ? 0 : try heldCount(choice, configurationFile)
    let answer = try ask(choice.request(.release), configurationFile)
    guard answer.ok, !json else { return try finish(answer, say) }
    let after = try heldCount(choice, configurationFile)
    let others = after == 0 ? "" : ", \(after) are held by another hold"
    say("released: \(choice.scope.words); \(max(0, before - after)) entries go on\(others)")
  }

  /// Says what becomes of the notices of silence (RFC 6109 §3.1.6) about messages that a restored backup brought back; nil: only how many
  /// deadlines wait. What their recipients' providers have said since the backup was made is not known here.
  public static func notices(areSent: Bool?, isSure: Bool, configurationFile: String, json: Bool, say: (String) -> Void) throws {
    let ledger = try ledger(configurationFile)
    let count = try ledger.heldDeadlineCount()
    guard let areSent else {
      let isHeld = try ledger.queueHolds().notices != nil
      return say(isHeld ? "\(count) messages of before the restore wait for a word about their notices" : "No notices wait.")
    }
    if !isSure {
      throw CommandFailure(
        areSent
          ? "of \(count) messages of before the restore, the senders would be told of recipients from whom this ledger heard nothing. Say --yes"
          : "of \(count) messages of before the restore, no sender would be told that nothing was heard. Say --yes",
        exitCode: CommandFailure.usage)
    }
    let answer = try ask(QueueRequest(areSent ? .sendNotices : .dropNotices), configurationFile)
    guard answer.ok, !json else { return try finish(answer, say) }
    say("\(answer.message); \(count) messages")
  }

  /// Holds a destination and waits until nothing is under way to it any more.
  /// - Throws: `CommandFailure` with code 75 when something still is after `seconds`.
  public static func drain(
    _ choice: QueueChoice, reason: String, waitingSeconds seconds: Int, configurationFile: String, json: Bool, say: (String) -> Void,
    progress: (String) -> Void = { _ in }
  ) throws {
    if try ledger(configurationFile).queueHolds().hold(of: choice.scope) == nil {
      var request = choice.request(.hold)
      request.reason = reason
      let answer = try ask(request, configurationFile)
      guard answer.ok else { return try finish(answer, say) }
    }
    let end = Date().addingTimeInterval(Double(seconds))
    while true {
      let answer = try ask(choice.request(.underWay), configurationFile)
      guard answer.ok, let count = answer.queue?.underWay else { return try finish(answer, say) }
      if count == 0 {
        if json { return say(try Output.json(answer)) }
        let waiting = try heldCount(choice, configurationFile)
        return say("drained: \(choice.scope.words); \(waiting) entries wait for its release")
      }
      progress("under way: \(count)")
      guard Date() < end else {
        throw CommandFailure("after \(seconds) s \(count) entries are still under way; the hold stays", exitCode: CommandFailure.tryAgain)
      }
      LifeCommands.pause.wait(forSeconds: 1)
    }
  }

  private static func heldCount(_ choice: QueueChoice, _ configurationFile: String) throws -> Int {
    var filter = QueueFilter(choice.scope)
    filter.isHeld = true
    return try ledger(configurationFile).queueCount(filter)
  }

  private static func ask(_ queue: QueueRequest, _ configurationFile: String) throws -> ControlAnswer {
    var request = ControlRequest(verb: "queue")
    request.queue = queue
    // A page of notices to many recipients is signed in some seconds, and waits for submissions.
    return try ControlClient.ask(request, of: try Service.load(configurationFile).dataDirectory, withinSeconds: 300)
  }

  private static func finish(_ answer: ControlAnswer, _ say: (String) -> Void) throws {
    if answer.ok { return say(try Output.json(answer)) }
    throw CommandFailure(answer.message, exitCode: CommandFailure.noInput)
  }
}
