import Glibc
import Limits
import MIMEStream
import Octets
import PEC
import Reception
import Testing

@testable import Journey

/// The journeys over a simulated disk, clock and peers: whatever the dice bring, the promise of a 250 holds.
@Suite struct SimulationTests {
  static let directory = ProviderDirectory(
    records: ["alfa", "beta"].map { name in
      ProviderRecord(
        dn: "providerName=\(name),o=postacert", line: 1, providerName: name, unit: nil,
        certificateHashes: [String(repeating: name == "alfa" ? "a" : "b", count: 40)], certificates: [Array(name.utf8)],
        mailReceipt: "servizio@pec.\(name).test", managedDomains: ["pec.\(name).test"], ldifURL: nil)
    })

  static func points(_ name: String, provesByReport: Bool) -> ProviderPoints {
    let other = name == "alfa" ? "beta" : "alfa"
    return ProviderPoints(
      provider: ProviderIdentity(
        name: name, serviceAddress: "posta-certificata@pec.\(name).test", mailDomain: "pec.\(name).test", nodeName: name),
      serviceMailbox: "servizio@pec.\(name).test", limits: Limits(),
      routing: RoutingTable(localDomains: ["pec.\(name).test"], relays: ["pec.\(other).test": other], fallback: "default"),
      hostname: "mx.\(name).test", provesDeliveryByReport: provesByReport)
  }

  static let point = points("alfa", provesByReport: false)

  /// Arrivals are told of in all mailboxes of one provider but one, and in one of the other.
  static let choices = HolderChoices([
    "pec.alfa.test": HolderChoice(notice: .to("avvisi@posta.test"), receipt: .brief), "aldo@pec.alfa.test": HolderChoice(notice: .nobody),
    "uno@pec.beta.test": HolderChoice(notice: .to("uno@posta.test")),
  ])

  static let sender = "anna@pec.alfa.test"

  static func client(_ number: Int, _ dice: inout Dice) -> SimulatedLife.Client {
    let pool = [
      "uno@pec.beta.test", "due@pec.beta.test", "nessuno@pec.beta.test", "tre@posta.test", "nessuno@posta.test", "anna@pec.alfa.test",
      "aldo@pec.alfa.test", "nessuno@pec.alfa.test",
    ]
    let recipients = pool.filter { _ in dice.chance(40) }
    let chosen = recipients.isEmpty ? [pool[0]] : recipients
    let isSound = !dice.chance(20)
    let provider = dice.below(2)
    let sender = provider == 0 ? Self.sender : "uno@pec.beta.test"
    let bcc = isSound ? "" : "Bcc: nascosto@posta.test\r\n"
    let infectedFor = Set([0, 1].filter { _ in dice.chance(15) })
    let virus = infectedFor.sorted().map { String(decoding: SimulatedLife.virus($0), as: UTF8.self) + "\r\n" }.joined()
    let wanted = ["", "X-TipoRicevuta: breve\r\n", "X-TipoRicevuta: sintetica\r\n"][dice.below(3)]
    let text =
      "Message-ID: <client\(number)@mua.test>\r\nDate: Tue, 10 Mar 2026 09:14:58 +0100\r\nFrom: \(sender)\r\n"
      + "To: \(chosen.joined(separator: ",\r\n "))\r\nSubject: prova \(number)\r\n\(bcc)\(wanted)\r\ncorpo \(number)\r\n\(virus)"
    return SimulatedLife.Client(
      message: Array(text.utf8), sender: sender, recipients: chosen, isSound: isSound, provider: provider, infectedFor: infectedFor)
  }

  /// `CERALACCA_SEEDS` sets how many lives are lived; 1,000 otherwise.
  static var seeds: Int { unsafe getenv("CERALACCA_SEEDS").flatMap { unsafe Int(String(cString: $0)) } ?? 1000 }

  /// A time in which nothing goes, often none, often one that ends near a deadline or at its latest.
  private static func silence(_ dice: inout Dice, atMostSeconds most: Int) -> Range<Int64> {
    let lengths = [0, 0, dice.below(3600), 43_200 - 1800 + dice.below(3600), dice.below(most), most - dice.below(600)]
    let start = Int64(dice.below(200))
    return start..<start + Int64(lengths[dice.below(lengths.count)])
  }

  @Test func everyLifeKeepsItsPromises() {
    var crashes = 0
    var rows: [EventKind: Int] = [:]
    for seed in 1...UInt64(Self.seeds) {
      var dice = Dice(seed: seed &* 7919)
      let clients = (0..<2 + dice.below(4)).map { Self.client($0, &dice) }
      let provesByReport = dice.chance(30)
      var life = SimulatedLife(
        seed: seed, points: [Self.point, Self.points("beta", provesByReport: provesByReport)], directory: Self.directory,
        clients: clients, impossible: ["nessuno@posta.test"], outageSeconds: Self.silence(&dice, atMostSeconds: 79_200),
        fullSeconds: Self.silence(&dice, atMostSeconds: provesByReport ? 79_200 : 85_900), lateTrouble: dice.below(8),
        choices: Self.choices)
      let ended = life.run(trouble: 60 + dice.below(600))
      #expect(ended, "seed \(seed): the life did not come to rest")
      if ended { LifeCheck(life, seed: seed).check() }
      crashes += life.crashes
      for event in life.providers.flatMap(\.disk.events) { rows[event.kind, default: 0] += 1 }
    }
    for kind in [EventKind.timeoutFirst, .timeoutSecond] {
      #expect(rows[kind, default: 0] > Self.seeds / 10, "too few silences to prove anything: \(rows[kind, default: 0]) of \(kind.rawValue)")
    }
    #expect(crashes > Self.seeds, "the lives were too peaceful to prove anything: \(crashes) crashes")
  }

  @Test func aDayOfSilenceBecomesANotice() {
    var journey = DeliveryJourney(Self.entry(dueAt: 0), of: Matter(Self.transaction, nil), at: Self.point)
    let late = Instant(unixSeconds: 24 * 3600, utcOffsetSeconds: 0)
    let fate = RecipientFate(recipient: "uno@pec.beta.test", outcome: .later("451 no"))
    guard case .sign(let drafts, _)? = journey.handle(.attempted(DeliveryJourney.Attempt([fate], at: late, random: Self.random))).first
    else {
      Issue.record("no notice was drafted")
      return
    }
    #expect(drafts.map(\.kind) == [.nonDelivery])
    #expect(drafts[0].recipients == [Self.sender])
    _ = journey.handle(.signed([[1]]))
    _ = journey.handle(.committed)
    #expect(journey.entry.recipients.isEmpty)
  }

  @Test func retriesDoubleUpToABound() {
    let waits = (0..<12).map { attempts -> Int64 in
      var entry = Self.entry(dueAt: 0)
      entry.attempts = attempts
      var journey = DeliveryJourney(entry, of: Matter(Self.transaction, nil), at: Self.point)
      let now = Instant(unixSeconds: 1000, utcOffsetSeconds: 0)
      _ = journey.handle(
        .attempted(
          DeliveryJourney.Attempt([RecipientFate(recipient: "uno@pec.beta.test", outcome: .later("no"))], at: now, random: Self.random)))
      _ = journey.handle(.committed)
      return journey.entry.dueAt - 1000
    }
    #expect(waits == [60, 120, 240, 480, 960, 1800, 1800, 1800, 1800, 1800, 1800, 1800])
  }

  @Test func aNoticeThatCannotBeDeliveredIsDropped() {
    var entry = Self.entry(dueAt: 0)
    entry.kind = .acceptance
    var journey = DeliveryJourney(entry, of: Matter(Self.transaction, nil), at: Self.point)
    let fate = RecipientFate(recipient: "uno@pec.beta.test", outcome: .failed(.noMailbox, text: "no"))
    let effects = journey.handle(
      .attempted(DeliveryJourney.Attempt([fate], at: Instant(unixSeconds: 1, utcOffsetSeconds: 0), random: Self.random)))
    guard case .commit(let plan)? = effects.first else {
      Issue.record("a notice about a notice")
      return
    }
    #expect(plan.messages.isEmpty)
    #expect(plan.changes.contains { if case .event(let event) = $0 { event.kind == .noticeDropped } else { false } })
  }

  static let random = RandomBits(identifier: 0, boundary: 0, secret: (0, 0))

  static let transaction = TransactionRecord(
    pecID: "alfa1.x@pec.alfa.test", instant: Instant(unixSeconds: 0, utcOffsetSeconds: 0), sender: sender,
    recipients: [Recipient(address: "uno@pec.beta.test", recipientClass: .certified)], replyTo: sender, subject: "prova",
    rawSubject: Array("prova".utf8), clientMessageID: nil, receiptType: .complete, bytes: 10, accepted: true)

  static func entry(dueAt: Int64) -> QueueEntry {
    QueueEntry(
      id: "alfa1.x-q1", pecID: "alfa1.x@pec.alfa.test", messageID: "alfa1.x@pec.alfa.test", kind: .envelope, sender: sender,
      recipients: ["uno@pec.beta.test"], route: .relay("beta"), content: [], createdAt: 0, dueAt: dueAt)
  }
}
