import EventLoop
import Foundation
import Journey
import Ledger
import Logging
import Octets
import PEC
import Threading

/// What operators say on the control socket.
extension Gateway {
  /// Does what a user of this system asked for on the control socket.
  func perform(_ request: ControlRequest, from user: LocalUser?, _ answer: @escaping @Sendable (ControlAnswer) -> Void) {
    if request.verb == "status" { return answer(status()) }
    // Not on the lane that asked: a name may come from a directory server, and a large index takes seconds to read.
    WorkerThread(name: "operator") { [self] in
      let person = Operator(user)
      if let order = request.order { shared.logger.notice("\(person) asks: \(ASCII.escaped(order))") }
      perform(request, by: person, answer)
    }.detach()
  }

  private func perform(_ request: ControlRequest, by person: Operator, _ answer: @escaping @Sendable (ControlAnswer) -> Void) {
    switch request.verb {
    case "queue": pager.perform(request.queue, by: person, answer)
    case "reload":
      let (words, isDone) = reload(by: person)
      answer(ControlAnswer(ok: isDone, message: words))
    case "drain": answer(ControlAnswer(ok: true, message: drain(seconds: request.entry.flatMap { Int($0) } ?? 30)))
    case "restart":
      guard let begin = restarting.withLock({ $0 }) else {
        return answer(ControlAnswer(ok: false, message: "this process cannot restart itself: it was not started by `ceralacca serve`"))
      }
      begin { words, isDone in answer(ControlAnswer(ok: isDone, message: words)) }
    case "index-fetch":
      upkeep.fetchIndex(allowsLosses: request.entry == "allow-losses") { lines, isLoaded in
        answer(ControlAnswer(ok: isLoaded, message: lines))
      }
    case "seal": logKeeper.perform(.seal(by: person)) { words, isDone in answer(ControlAnswer(ok: isDone, message: words)) }
    case "request-answer", "request-refuse":
      guard let id = request.entry else { return answer(ControlAnswer(ok: false, message: "which request?")) }
      let refusal = request.verb == "request-refuse" ? request.text ?? "" : nil
      logKeeper.perform(.answer(request: id, refusal: refusal, by: person)) { words, isDone in
        answer(ControlAnswer(ok: isDone, message: words))
      }
    case "hold", "hold-lift": hold(request, by: person, answer)
    case "choose":
      guard let choice = request.choice else { return answer(ControlAnswer(ok: false, message: "for whom, and what is chosen?")) }
      shared.choices.change(choice, by: person, shared, answer)
    case "extract-made":
      shared.note(.extractMade, "\(request.text ?? ""), asked by \(person)")
      answer(ControlAnswer(ok: true, message: "noted"))
    default: answer(ControlAnswer(ok: false, message: "no such verb: \(request.verb)"))
    }
  }

  private func status() -> ControlAnswer {
    let counters = shared.counters
    return ControlAnswer(
      ok: shared.committer.brokenBecause == nil && shared.clock.distrust == nil,
      message: shared.committer.brokenBecause ?? shared.clock.distrust.map { "the clock cannot be trusted: \($0)" }
        ?? (drainState.isDraining ? "draining" : "running"),
      numbers: [
        "pid": Int(ProcessInfo.processInfo.processIdentifier),
        "connections": counters.connections.load(ordering: .relaxed),
        "openConnections": counters.openConnections.load(ordering: .relaxed),
        "accepted": counters.accepted.load(ordering: .relaxed), "failed": counters.failed.load(ordering: .relaxed),
        "delivered": counters.delivered.load(ordering: .relaxed), "commits": counters.commits.load(ordering: .relaxed),
        "committedPlans": counters.committedPlans.load(ordering: .relaxed),
        "intakeBytesInMemory": counters.intakeBytesInMemory.load(ordering: .relaxed),
      ].merging(shared.scannerNumbers) { old, _ in old }, status: watch.report())
  }

  /// Keeps the spool's files as they are for who copies them; gives what ends that.
  func holdSpool() -> @Sendable () -> Void {
    shared.logger.notice("a backup runs: no segment of the spool goes until it has ended")
    shared.spool.hold()
    return { [shared] in
      // Removing takes the disk's time, and this is said on a lane.
      WorkerThread(name: "spool-hold") {
        shared.spool.endHold()
        shared.logger.notice("the backup has ended")
      }.detach()
    }
  }

  /// Puts days of the log under a hold, or lifts one: a change of the ledger, which the gateway alone writes.
  private func hold(
    _ request: ControlRequest, by person: Operator, _ answer: @escaping @Sendable (ControlAnswer) -> Void
  ) {
    guard let id = request.entry else { return answer(ControlAnswer(ok: false, message: "which hold?")) }
    let changes: [LedgerChange]
    let words: String
    if request.verb == "hold" {
      guard let from = request.from.flatMap({ LegalDay($0) }), let to = request.to.flatMap({ LegalDay($0) }), from <= to,
        let reason = request.text, !reason.isEmpty
      else { return answer(ControlAnswer(ok: false, message: "a hold needs its first day, its last day and a reason")) }
      changes = [.hold(LogHold(id: id, from: from, to: to, reason: reason, madeAt: shared.now().unixSeconds))]
      words = "\(id): \(from.text) to \(to.text): \(reason)"
    } else {
      changes = [.liftHold(id: id)]
      words = "\(id)" + (request.text.map { ": \($0)" } ?? "")
    }
    let kind: EventKind = request.verb == "hold" ? .held : .holdLifted
    let row = EventRecord(aboutTheLog: kind, "by \(person): \(words)", by: shared.points.provider.name, at: shared.now())
    shared.committer.perform(
      .record(changes + [.event(row)]) { failure in
        answer(ControlAnswer(ok: failure == nil, message: failure ?? words))
      })
  }
}
