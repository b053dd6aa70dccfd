import Journey
import PEC
import Testing

@Suite struct QueueHoldsTests {
  private static func entry(_ recipients: [String], awaiting: [String] = [], route: Route = .relay("default")) -> QueueEntry {
    QueueEntry(
      id: "e1", pecID: "p1", messageID: "p1.x", kind: .envelope, sender: SimulationTests.sender, recipients: recipients, route: route,
      content: [], createdAt: 1000, dueAt: 1000, awaiting: awaiting)
  }

  @Test func scopesAreReadAsTheyWereWritten() {
    let scopes: [QueueScope] = [
      .all, .route(.mailbox), .route(.relay("pec.beta.test")), .domain("x.test"), .entry("e-1"), .restored(until: 17), .notices(through: 4),
    ]
    for scope in scopes { #expect(QueueScope(kind: scope.kind, name: scope.name) == scope) }
    #expect(QueueScope(kind: "domain", name: "PEC.Beta.Test") == .domain("pec.beta.test"))
    for (kind, name) in [("all", "x"), ("route", "beta"), ("domain", ""), ("entry", ""), ("sender", "a@b"), ("all", "restored x")] {
      #expect(QueueScope(kind: kind, name: name) == nil, "\(kind) \(name)")
    }
  }

  @Test func whoIsMeant() {
    let entry = Self.entry(["a@X.test", #""a@y.test"@z.test"#], awaiting: ["b@y.test"])
    #expect(QueueScope.domain("x.test").recipients(of: entry) == ["a@X.test"])
    #expect(QueueScope.domain("y.test").recipients(of: entry) == ["b@y.test"])
    #expect(QueueScope.domain("z.test").covers(entry))
    #expect(!QueueScope.domain("test").covers(entry))
    #expect(QueueScope.route(.relay("default")).recipients(of: entry).count == 3)
    #expect(!QueueScope.route(.mailbox).covers(entry))
    #expect(QueueScope.entry("e1").covers(entry) && !QueueScope.entry("e2").covers(entry))
  }

  @Test func anEntryWaitsWhenAllItsRecipientsDo() {
    let entry = Self.entry(["a@x.test", "b@y.test"])
    let one = QueueHolds([QueueHold(scope: .domain("x.test"), heldAt: 5)])
    #expect(one.hold(on: entry) == nil)
    #expect(one.free(of: entry) == ["b@y.test"])
    let both = QueueHolds([QueueHold(scope: .domain("x.test"), heldAt: 5), QueueHold(scope: .domain("y.test"), heldAt: 6)])
    #expect(both.hold(on: entry)?.scope == .domain("x.test"))
    #expect(both.free(of: entry).isEmpty)
    for scope in [QueueScope.all, .route(.relay("default")), .entry("e1")] {
      #expect(QueueHolds([QueueHold(scope: scope, heldAt: 5)]).hold(on: entry)?.scope == scope)
      #expect(QueueHolds([QueueHold(scope: scope, heldAt: 5, releasedAt: 6)]).hold(on: entry) == nil)
    }
    #expect(QueueHolds([QueueHold(scope: .route(.mailbox), heldAt: 5)]).hold(on: entry) == nil)
    // Its route is not there any more, and it goes another way.
    #expect(QueueHolds([QueueHold(scope: .route(.relay("new")), heldAt: 5)]).hold(on: entry, by: .relay("new")) != nil)
    // Who only waits for reports is not held: nothing would be attempted.
    #expect(QueueHolds([QueueHold(scope: .all, heldAt: 5)]).hold(on: Self.entry([], awaiting: ["a@x.test"])) == nil)
  }

  @Test func secondsOfHoldsThatOverlapCountOnce() {
    let entry = Self.entry(["a@x.test", "b@y.test"])
    let holds = QueueHolds([
      QueueHold(scope: .all, heldAt: 0, releasedAt: 1100), QueueHold(scope: .domain("x.test"), heldAt: 1050, releasedAt: 1300),
      QueueHold(scope: .route(.mailbox), heldAt: 1000, releasedAt: 9000), QueueHold(scope: .entry("e1"), heldAt: 2000),
    ])
    #expect(holds.heldSeconds("a@x.test", of: entry, until: 2500) == 300 + 500)
    #expect(holds.heldSeconds("b@y.test", of: entry, until: 2500) == 100 + 500)
    #expect(holds.heldSeconds(entry, until: 2500) == 800)
    // A clock that was put back gives nobody time.
    #expect(holds.heldSeconds("b@y.test", of: entry, until: 900) == 0)
  }

  private func afterTwentyFiveHours(_ holds: QueueHolds) -> (effects: [Effect], journey: DeliveryJourney) {
    var entry = SimulationTests.entry(dueAt: 0)
    entry.createdAt = 0
    var journey = DeliveryJourney(entry, of: Matter(SimulationTests.transaction, nil), at: SimulationTests.point, holds: holds)
    let fate = RecipientFate(recipient: "uno@pec.beta.test", outcome: .later("451 no"))
    let attempt = DeliveryJourney.Attempt([fate], at: Instant(unixSeconds: 25 * 3600, utcOffsetSeconds: 0), random: SimulationTests.random)
    let effects = journey.handle(.attempted(attempt))
    return (effects, journey)
  }

  /// What waited for an operator is not given up for it.
  @Test func timeUnderAHoldDoesNotCountTowardsGivingUp() {
    let held = QueueHold(scope: .domain("pec.beta.test"), heldAt: 3600, releasedAt: 4 * 3600)
    var (effects, journey) = afterTwentyFiveHours(QueueHolds([held]))
    guard case .commit(let plan)? = effects.first else {
      Issue.record("given up although it was held for three hours")
      return
    }
    #expect(plan.messages.isEmpty)
    _ = journey.handle(.committed)
    #expect(journey.entry.recipients == ["uno@pec.beta.test"])
    #expect(journey.entry.dueAt > 25 * 3600 && journey.entry.dueAt <= 27 * 3600)
    (effects, _) = afterTwentyFiveHours(QueueHolds([QueueHold(scope: .domain("pec.gamma.test"), heldAt: 3600, releasedAt: 4 * 3600)]))
    guard case .sign(let drafts, _)? = effects.first else {
      Issue.record("another domain's hold kept it")
      return
    }
    #expect(drafts.map(\.kind) == [.nonDelivery])
  }
}
